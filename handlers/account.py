"""/account: the user's profile, sessions, feed and payout onboarding."""

from domain.accounts import (
    email_change,
    email_verification,
    passkeys,
    password_change,
    password_reset,
    profile,
    second_step,
    security_changes,
    sign_in,
    step_up,
    totp,
    user,
)
from domain.home import home
from domain.jobs import profiles
from domain.notifications import feed, notices
from domain.payouts import onboarding, payout_state
from domain.ports import sessions
from domain.privacy import deletion, export
from handlers.expose import Namespace

account = Namespace("/account")

account.expose(sign_in.register, http="POST /api/account/register", socket=False)
account.expose(sign_in.login, http="POST /api/account/login", socket=False)
account.expose(second_step.login_code, http="POST /api/account/login/code", socket=False)
account.expose(second_step.passkey_options, http="POST /api/account/passkey_options", socket=False)
account.expose(second_step.passkey_login, http="POST /api/account/passkey_login", socket=False)
account.expose(sign_in.refresh, http="POST /api/account/refresh")
account.expose(sign_in.me, http="GET /api/account/me")
account.expose(profile.update, http="PATCH /api/account/me")
account.expose(sign_in.logout, http="POST /api/account/logout")
account.expose(sign_in.sessions, http="GET /api/account/sessions")
account.expose(sign_in.revoke, http="DELETE /api/account/sessions")
account.expose(totp.totp_begin, http="POST /api/account/totp_begin")
account.expose(totp.totp_confirm, http="POST /api/account/totp_confirm")
account.expose(totp.totp_disable, http="POST /api/account/totp_disable")
account.expose(totp.recovery_codes, http="POST /api/account/recovery_codes")
account.expose(passkeys.passkey_begin, http="POST /api/account/passkey_begin")
account.expose(passkeys.passkey_add, http="POST /api/account/passkey_add")
account.expose(passkeys.passkeys, http="GET /api/account/passkeys")
account.expose(passkeys.passkey_remove, http="DELETE /api/account/passkeys/{passkey_id}")
account.expose(step_up.step_up, http="POST /api/account/step_up")
account.expose(password_change.sessions_end_others, http="POST /api/account/sessions_end_others")
account.expose(password_change.password, http="POST /api/account/password")
account.expose(password_reset.reset_request, http="POST /api/account/reset_request", socket=False)
account.expose(password_reset.reset, http="POST /api/account/reset", socket=False)
account.expose(email_verification.verify_send, http="POST /api/account/verify_send")
account.expose(email_verification.verify, http="POST /api/account/verify")
account.expose(email_change.email_change, http="POST /api/account/email_change")
account.expose(email_change.email_confirm, http="POST /api/account/email_confirm")
account.expose(onboarding.onboard, http="POST /api/account/onboard")
account.expose(payout_state.payout_state, http="POST /api/account/payout_state")
account.expose(export.export, http="POST /api/account/export")
account.expose(deletion.delete, http="POST /api/account/delete")
account.expose(home.home, http="GET /api/account/home")
account.expose(profiles.profile, http="GET /api/account/{user_id}/profile")
account.expose(feed.sync, http="GET /api/account/feed")
account.expose(feed.seen, http="POST /api/account/feed/seen")

account.pushes = (
    user.UPDATED,
    security_changes.SECURITY_CHANGED,
    notices.NOTIFICATION,
    feed.HEAD,
    feed.RESYNC,
    sessions.REVOKED,
)

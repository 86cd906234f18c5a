"""/account: the user's profile, sessions, feed and payout onboarding."""

from domain import account_deletion
from domain.accounts import profile, sign_in
from domain.notifications import feed
from domain.payouts import onboarding
from handlers.expose import Namespace

account = Namespace("/account")

account.expose(sign_in.register, http="POST /api/account/register", socket=False)
account.expose(sign_in.login, http="POST /api/account/login", socket=False)
account.expose(sign_in.refresh, http="POST /api/account/refresh")
account.expose(sign_in.me, http="GET /api/account/me")
account.expose(profile.update, http="PATCH /api/account/me")
account.expose(sign_in.logout, http="POST /api/account/logout")
account.expose(sign_in.sessions, http="GET /api/account/sessions")
account.expose(sign_in.revoke, http="DELETE /api/account/sessions")
account.expose(onboarding.onboard, http="POST /api/account/onboard")
account.expose(account_deletion.delete, http="POST /api/account/delete")
account.expose(feed.sync, http="GET /api/account/feed")
account.expose(feed.seen, http="POST /api/account/feed/seen")

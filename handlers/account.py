"""/account: who one is, one's sessions and one's feed."""

from domain import accounts, closing, feed, profile
from handlers.expose import Namespace

account = Namespace("/account")

account.expose(accounts.register, http="POST /api/account/register", socket=False)
account.expose(accounts.login, http="POST /api/account/login", socket=False)
account.expose(accounts.refresh, http="POST /api/account/refresh")
account.expose(accounts.me, http="GET /api/account/me")
account.expose(profile.update, http="PATCH /api/account/me")
account.expose(accounts.logout, http="POST /api/account/logout")
account.expose(accounts.sessions, http="GET /api/account/sessions")
account.expose(accounts.revoke, http="DELETE /api/account/sessions")
account.expose(accounts.onboard, http="POST /api/account/onboard")
account.expose(closing.delete, http="POST /api/account/delete")
account.expose(feed.sync, http="GET /api/account/feed")
account.expose(feed.seen, http="POST /api/account/feed/seen")

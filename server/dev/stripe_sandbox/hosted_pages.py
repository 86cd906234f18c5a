"""Hosted pages for people: the bank's 3-D Secure challenge and Connect onboarding."""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode, urlsplit, urlunsplit

from aiohttp import web

from server.dev.stripe_sandbox import connect, payment_intents, setup_intents, timers
from server.dev.stripe_sandbox.currencies import CURRENCIES, format_amount
from server.dev.stripe_sandbox.errors import Json, StripeError
from server.dev.stripe_sandbox.request_context import RequestContext
from server.dev.stripe_sandbox.store import Store
from server.dev.stripe_sandbox.wake import Wake

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { margin: 0; min-height: 100vh; display: grid; place-items: center;
  background: light-dark(#f4f5fb, #12131a) }
main { width: min(26rem, 90vw); padding: 2rem; border-radius: 1rem;
  background: light-dark(#fff, #1d1f2a); box-shadow: 0 1rem 3rem #0003 }
h1 { margin: 0 0 .25rem; font-size: 1.3rem } p { margin: 0 0 1.25rem; opacity: .75 }
label { display: block; margin: 0 0 1rem; font-size: .875rem }
input { box-sizing: border-box; width: 100%; margin-top: .25rem; padding: .6rem .75rem;
  font: inherit; border: 1px solid #8886; border-radius: .5rem; background: transparent;
  color: inherit }
button { width: 100%; margin-top: .5rem; padding: .7rem; border: 0; border-radius: .5rem;
  font: inherit; font-weight: 600; cursor: pointer; background: #5b5bf0; color: #fff }
button.quiet { background: transparent; color: inherit; border: 1px solid #8886 }
:focus-visible { outline: 3px solid #5b5bf0; outline-offset: 2px }
"""


def _html_page(title: str, content: str, status: int = 200) -> web.Response:
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main><h1>{escape(title)}</h1>{content}"
        "</main></body></html>"
    )
    return web.Response(text=html, content_type="text/html", status=status)


def _unusable_link(message: str, status: int = 404) -> web.Response:
    return _html_page("This link cannot be used", f"<p>{escape(message)}</p>", status)


class HostedPages:
    """Serves the pages. Their links need no other authentication, as at Stripe."""

    def __init__(self, store: Store, wake: Wake) -> None:
        self.store = store
        self.wake = wake

    def routes(self) -> list[web.RouteDef]:
        """The routes of all pages."""
        return [
            web.get("/3ds/{name}", self.challenge),
            web.post("/3ds/{name}/{verdict:complete|fail}", self.decide),
            web.get("/setup/e/{account}/{token}", self.form),
            web.post("/setup/e/{account}/{token}", self.submit),
            web.get("/express/{account}/{token}", self.dashboard),
            web.get("/receipts/{name}", self.receipt),
        ]

    def _call(self, object_id: str, base_url: str = "") -> tuple[RequestContext, Json] | None:
        row = self.store.get(object_id)
        tenant = self.store.tenant(row[0]) if row else None
        if row is None or tenant is None:
            return None
        context = RequestContext(self.store, tenant, row[1], base_url=base_url)
        obj = context.find(object_id)
        return (context, obj) if obj is not None else None

    async def challenge(self, request: web.Request) -> web.Response:
        """The 3-D Secure challenge."""
        found = self._call(request.match_info["name"])
        if found is None or found[1].get("status") != "requires_action":
            return _unusable_link("There is nothing to approve here.")
        intent = found[1]
        what = "Save this card for later payments."
        if "amount" in intent:
            what = f"A payment of {format_amount(intent['amount'], intent['currency'])}."
        base = f"/3ds/{escape(intent['id'])}"
        return _html_page(
            "3-D Secure test challenge",
            f"<p>{escape(what)}</p>"
            f'<form method="post" action="{base}/complete"><button>Complete</button></form>'
            f'<form method="post" action="{base}/fail"><button class="quiet">Fail</button></form>',
        )

    async def decide(self, request: web.Request) -> web.Response:
        """Complete or fail the challenge and redirect to the shop."""
        found = self._call(request.match_info["name"], str(request.url.origin()))
        if found is None:
            return _unusable_link("There is nothing to approve here.")
        context, intent = found
        setup = intent["object"] == "setup_intent"
        authenticate = setup_intents.authenticate if setup else payment_intents.authenticate
        try:
            with self.store.transaction():
                authenticate(context, intent, passed=request.match_info["verdict"] == "complete")
                context.flush()
        except StripeError as error:
            return _unusable_link(str(error), 409)
        self.wake.set()
        back = intent.get("_return_url")
        if not back:
            return _html_page("Done", "<p>You can close this page and go back to the shop.</p>")
        query = {
            intent["object"]: intent["id"],
            f"{intent['object']}_client_secret": intent["client_secret"],
            "redirect_status": "failed"
            if intent["status"].startswith("requires_pay")
            else "succeeded",
        }
        raise web.HTTPSeeOther(_with_query(back, query))

    def _link(self, request: web.Request) -> tuple[RequestContext, Json, Json] | None:
        found = self._call(f"link_{request.match_info['token']}")
        if found is None:
            return None
        context, link = found
        account = context.find(link["account"])
        if account is None or account["id"] != request.match_info["account"]:
            return None
        return context, link, account

    async def form(self, request: web.Request) -> web.Response:
        """The onboarding form. A used or expired link redirects to its refresh URL."""
        found = self._link(request)
        if found is None:
            return _unusable_link("Ask for a new onboarding link.")
        context, link, account = found
        if link["used"] or context.now >= link["expires_at"] or account.get("deleted"):
            raise web.HTTPSeeOther(link["refresh_url"])
        currency_code = escape(account["default_currency"])
        return _html_page(
            "Get paid",
            "<p>A test page that replaces Stripe's. Your input is not checked.</p>"
            '<form method="post">'
            '<label>Full name<input name="name" autocomplete="name" value="Test Person"></label>'
            '<label>Bank account<input name="bank_account" value="000123456789"></label>'
            "<label>Currencies of the account"
            f'<input name="currencies" value="{currency_code}"></label>'
            "<button>Submit</button></form>",
        )

    async def submit(self, request: web.Request) -> web.Response:
        """Complete the onboarding and redirect to the return URL."""
        given = await request.post()
        found = self._link(request)
        if found is None:
            return _unusable_link("Ask for a new onboarding link.")
        context, link, account = found
        if link["used"] or context.now >= link["expires_at"] or account.get("deleted"):
            raise web.HTTPSeeOther(link["refresh_url"])
        person = {name: value for name, value in given.items() if isinstance(value, str)}
        wished = person.get("currencies", "").replace(" ", "").lower().split(",")
        currencies = [currency_code for currency_code in wished if currency_code in CURRENCIES]
        with self.store.transaction():
            timers.run_due(self.store, context.tenant)
            context.save(link)["used"] = True
            connect.complete_onboarding(
                context, account, currencies or [account["default_currency"]], person
            )
            context.flush()
        self.wake.set()
        raise web.HTTPSeeOther(link["return_url"])

    async def dashboard(self, request: web.Request) -> web.Response:
        """The page of a login link."""
        found = self._call(request.match_info["account"])
        if found is None:
            return _unusable_link("There is no such account.")
        return _html_page("Express dashboard", f"<p>Account {escape(found[1]['id'])}</p>")

    async def receipt(self, request: web.Request) -> web.Response:
        """The page of a charge's receipt link."""
        found = self._call(request.match_info["name"])
        if found is None or found[1]["object"] != "payment_intent":
            return _unusable_link("There is no such payment.")
        intent = found[1]
        paid = format_amount(intent["amount_received"], intent["currency"])
        return _html_page("Receipt", f"<p>Paid: {escape(paid)}</p>")


def _with_query(url: str, extra: dict[str, str]) -> str:
    parts = urlsplit(url)
    query = "&".join(filter(None, [parts.query, urlencode(extra)]))
    return urlunsplit(parts._replace(query=query))

"""The client of a test's tenant in the Stripe sandbox: API, faults, clock, settings, log."""

import secrets
from typing import Any

from aiohttp import ClientSession

from server.adapters.webhook_events import CONNECTED_EVENTS, PLATFORM_EVENTS, THIN_EVENTS

Json = dict[str, Any]

BANK_ACCOUNT = "000123456789"


class Sandbox:
    """One tenant of the sandbox. Tenants are separated by their secret keys."""

    def __init__(self, base: str, key: str, control_key: str) -> None:
        self.base = base
        self.key = key
        self.publishable_key = f"pk_test_{secrets.token_hex(16)}"
        self.control_headers = {"Sandbox-Control-Key": control_key}
        self._web = ClientSession(headers={"Authorization": f"Bearer {key}"})

    async def close(self) -> None:
        await self._web.close()

    async def end(self) -> tuple[list[Json], list[Json]]:
        """End the tenant; returns all its requests and all webhook deliveries, oldest first."""
        log = await self.control("DELETE", "deployments")
        return log["requests"], log["deliveries"]

    # -- Stripe's own API, as a browser or another client would use it -------------------------

    async def api(self, method: str, path: str, account: str | None = None, **params: Any) -> Json:
        """Any call under /v1; parameters in Stripe's form notation, as in `**{"card[cvc]": 1}`."""
        status, body = await self._call(method, path, account, self.key, params)
        assert status == 200, body
        return body

    async def attempt(
        self, method: str, path: str, account: str | None = None, **params: Any
    ) -> tuple[int, Json]:
        """Like `api`, for calls that may be refused: the status and the body, or its `error`."""
        status, body = await self._call(method, path, account, self.key, params)
        return status, body.get("error", body)

    async def confirm(self, client_secret: str, method: str, **params: Any) -> Json:
        """What Stripe.js does in a browser: confirm a payment or set-up with a method's id, or
        with the type of a new method, such as `crypto`. The publishable key is all it has."""
        id = client_secret.partition("_secret_")[0]
        kind = "setup_intents" if id.startswith("seti_") else "payment_intents"
        named = "payment_method" if "_" in method else "payment_method_data[type]"
        given = {
            "client_secret": client_secret,
            named: method,
            "return_url": "http://127.0.0.1/done",
            **params,
        }
        path = f"{kind}/{id}/confirm"
        status, body = await self._call("POST", path, None, self.publishable_key, given)
        assert status == 200, body
        return body

    async def register(self, url: str | None = None) -> list[str]:
        """Make the publishable key known. With the URL of a server: also one endpoint for the
        platform's events, one for connected accounts', and the destination of thin events; returns
        their secrets."""
        kinds = ((False, PLATFORM_EVENTS), (True, CONNECTED_EVENTS)) if url else ()
        thin = {
            "name": "Accounts",
            "enabled_events": list(THIN_EVENTS),
            "webhook_endpoint": {"url": url},
            "include": ["webhook_endpoint.signing_secret"],
        }
        deployment = {
            "publishable_keys": [self.publishable_key],
            "endpoints": [
                {"url": url, "connect": connect, "enabled_events": list(events)}
                for connect, events in kinds
            ],
            "destinations": [thin] if url else [],
        }
        made = await self.control("POST", "deployments", deployment)
        return [str(secret) for secret in made["secrets"]]

    async def api_v2(self, method: str, path: str, body: Json | None = None) -> Json:
        """Any call under /v2, which takes JSON."""
        status, answer = await self.attempt_v2(method, path, body)
        assert status == 200, answer
        return answer

    async def attempt_v2(
        self, method: str, path: str, body: Json | None = None
    ) -> tuple[int, Json]:
        """Like `api_v2`, for calls that may be refused: the status and the body, or its `error`."""
        url = f"{self.base}/v2/{path}"
        async with self._web.request(method, url, json=body) as response:
            answer: Json = await response.json()
            return response.status, answer.get("error", answer)

    # -- hosted pages ---------------------------------------------------------------

    async def fill_in_onboarding(self, url: str, name: str, currencies: str = "") -> None:
        """Submit the onboarding form; `currencies` ("usd,jpy") are those of the bank accounts."""
        form = {"name": name, "bank_account": BANK_ACCOUNT, "currencies": currencies}
        await self._submit(url, form)

    async def answer_challenge(self, redirect_url: str, *, passed: bool = True) -> None:
        """Complete or fail the bank's 3-D Secure challenge."""
        await self._submit(f"{redirect_url}/{'complete' if passed else 'fail'}", {})

    async def _call(
        self, method: str, path: str, account: str | None, key: str, params: Json
    ) -> tuple[int, Json]:
        place = {"params": params} if method == "GET" else {"data": params}
        headers = {"Authorization": f"Bearer {key}"}
        headers |= {"Stripe-Account": account} if account else {}
        async with self._web.request(
            method, f"{self.base}/v1/{path}", headers=headers, **place
        ) as response:
            return response.status, await response.json()

    async def _submit(self, url: str, form: Json) -> None:
        async with self._web.post(url, data=form, allow_redirects=False) as response:
            assert response.status == 303, await response.text()

    # -- faults, time, settings ----------------------------------------------------------------

    async def fault(self, **rule: Any) -> Json:
        """Add a fault, for example `path="/v1/payment_intents/*/capture", status=500, times=2`.

        One target, each with `times` and `delay`:
        `path` (a pattern): `method`, `when` (before, after the effect), `status`, `error`, `drop`;
        `webhook` (a type or pattern): `drop`, `hold` until `release_events`, `duplicate` (how many
        more, at once); `payout`: `failure_code`, `after_paid`; `refund` (of a charge or currency):
        `failure_code` (it fails after the delay), `pending_reason` (it is pending until then, and
        succeeds without a failure code; `insufficient_funds` moves no money before).
        """
        return await self.control("POST", "faults", rule)

    async def faults(self) -> list[Json]:
        """The faults that are not used up yet."""
        ordered: list[Json] = (await self.control("GET", "faults"))["data"]
        return ordered

    async def clear_faults(self) -> None:
        """Delete all faults, and end `hold_events` for later events. Delayed requests are answered
        at once."""
        await self.control("DELETE", "faults")

    async def advance(self, seconds: float) -> None:
        """Move the tenant's clock forward and run the due timers."""
        await self.control("POST", "clock", {"advance": seconds})

    async def settings(self, **changed: float) -> Json:
        """Change fee_bps, fee_fixed, dispute_fee, hold_seconds, processing_seconds, async_seconds,
        refunds_wait, available_ or payout_delay_seconds."""
        return await self.control("POST", "settings", changed)

    async def save(self) -> str:
        """A snapshot of this tenant, except for its webhook endpoints."""
        return str((await self.control("POST", "snapshots"))["snapshot"])

    async def restore(self, snapshot: str) -> None:
        """Take a snapshot over; the tenant that had it is deleted."""
        await self.control("POST", "restores", {"snapshot": snapshot})

    # -- external actions ------------------------------------------------------------------------

    async def capture_partly(self, intent: str, amount: int) -> Json:
        """Capture a part of a hold in the dashboard; the rest is released."""
        path = f"payment_intents/{intent}/capture"
        return await self.api("POST", path, amount_to_capture=amount)

    async def refund_in_dashboard(self, intent: str, amount: int | None = None) -> Json:
        """Refund a payment in the dashboard, in full without an amount."""
        some = {"amount": amount} if amount else {}
        return await self.api("POST", "refunds", payment_intent=intent, **some)

    async def reverse_transfer(self, transfer: str, amount: int | None = None) -> Json:
        """Reverse a transfer in the dashboard, in full without an amount."""
        some = {"amount": amount} if amount else {}
        return await self.api("POST", f"transfers/{transfer}/reversals", **some)

    async def fail_refund(self, refund: str, reason: str = "lost_or_stolen_card") -> Json:
        """The bank returns a pending or succeeded refund; the money returns."""
        body = {"refund": refund, "status": "failed", "reason": reason}
        return await self.control("POST", "refunds", body)

    async def settle_refund(self, refund: str) -> Json:
        """The bank settles a pending refund."""
        return await self.control("POST", "refunds", {"refund": refund, "status": "succeeded"})

    async def dispute(
        self,
        charge: str,
        amount: int | None = None,
        *,
        reason: str = "fraudulent",
        inquiry: bool = False,
    ) -> Json:
        """A cardholder disputes a charge, by default its whole rest. The bank withdraws the money
        at once, except for an inquiry."""
        body: Json = {"charge": charge, "amount": amount, "reason": reason, "inquiry": inquiry}
        made: Json = (await self.control("POST", "disputes", body))["dispute"]
        return made

    async def escalate(self, dispute: str) -> Json:
        """Turn an inquiry into a dispute, which withdraws the money."""
        return await self.move_dispute(dispute, "needs_response")

    async def close_dispute(self, dispute: str, *, won: bool, fee_back: bool = False) -> Json:
        """The bank decides, possibly again. `fee_back` returns Stripe's fee as well."""
        return await self.move_dispute(dispute, "won" if won else "lost", fee_back=fee_back)

    async def move_dispute(self, dispute: str, status: str, *, fee_back: bool = False) -> Json:
        """Set any of Stripe's statuses in any order, such as `warning_closed`."""
        body = {"dispute": dispute, "status": status, "fee_back": fee_back}
        return await self.control("POST", "verdicts", body)

    async def warn_of_fraud(self, charge: str, fraud_type: str = "made_with_stolen_card") -> Json:
        """A card network expects a chargeback of a charge."""
        body = {"charge": charge, "fraud_type": fraud_type}
        return await self.control("POST", "warnings", body)

    async def review(self, charge: str) -> Json:
        """A rule of Stripe puts a payment under review."""
        return await self.control("POST", "reviews", {"charge": charge})

    async def close_review(self, review: str, reason: str) -> Json:
        """A review ends, as `approved`, `refunded_as_fraud`, `disputed` or otherwise."""
        return await self.control("POST", "reviews", {"review": review, "reason": reason})

    async def dispute_line(self, dispute: str, amount: int) -> Json:
        """The bank takes more for a dispute (below zero), or gives a part back."""
        return await self.control("POST", "dispute_lines", {"dispute": dispute, "amount": amount})

    async def fail_payout(self, payout: str, failure_code: str = "account_closed") -> Json:
        """The bank returns a payout, even a paid one."""
        body = {"payout": payout, "failure_code": failure_code}
        return await self.control("POST", "payouts", body)

    async def set_payout_schedule(self, interval: str, account: str | None = None) -> Json:
        """Change the payout schedule of an account in the dashboard, by default the platform's."""
        some = {"account": account} if account else {}
        return await self.control("POST", "schedules", {"interval": interval, **some})

    async def pay_out_everything(self, account: str | None = None) -> list[Json]:
        """Stripe pays out all that an account has available, by default the platform."""
        some = {"account": account} if account else {}
        made: list[Json] = (await self.control("POST", "sweeps", some))["data"]
        return made

    async def deactivate(
        self, account: str, *due: str, reason: str = "requirements.past_due"
    ) -> Json:
        """Stripe disables an account's transfers and payouts until the `due` fields are given."""
        body = {"account": account, "state": "inactive", "due": list(due), "reason": reason}
        return await self.control("POST", "accounts", body)

    async def require(self, account: str, *due: str, in_days: float) -> Json:
        """Stripe wants more of an account that may do everything until then."""
        body = {"account": account, "state": "wanted", "due": list(due), "in_days": in_days}
        return await self.control("POST", "accounts", body)

    async def activate(self, account: str) -> Json:
        """Stripe enables an account again."""
        return await self.control("POST", "accounts", {"account": account, "state": "active"})

    async def set_capability(self, capability: str, status: str) -> Json:
        """A capability of the platform's own account becomes `active` or `inactive`."""
        body = {"capability": capability, "status": status}
        return await self.control("POST", "capabilities", body)

    async def onboarded_account(self, params: Json, person: Json, currencies: list[str]) -> Json:
        """A new account that is onboarded and emits no event; `params` as of POST /v1/accounts."""
        body = {"params": params, "person": person, "currencies": currencies}
        return await self.control("POST", "onboardings", body)

    async def change_banks(self, account: str, *currencies: str) -> Json:
        """Give an account other bank accounts, in these currencies."""
        body = {"account": account, "currencies": list(currencies)}
        return await self.control("POST", "banks", body)

    async def reject(self, account: str, reason: str = "fraud") -> Json:
        """The platform rejects an account in the dashboard, as `fraud` or `terms_of_service`."""
        return await self.api("POST", f"accounts/{account}/reject", reason=reason)

    async def close_account(self, account: str) -> Json:
        """Close an account regardless of its balance; the platform loses access."""
        return await self.control("POST", "accounts", {"account": account, "state": "closed"})

    async def add_balance_entry(
        self, type: str, amount: int, currency: str, description: str = ""
    ) -> Json:
        """Book an entry without an object in the platform's balance: `stripe_fee`, `topup`,
        `adjustment`. The amount is signed."""
        body = {
            "type": type,
            "amount": amount,
            "currency": currency.lower(),
            "description": description,
        }
        return await self.control("POST", "entries", body)

    async def add_funds(self, amount: int, currency: str = "USD") -> None:
        """An administrator adds funds to the platform's balance."""
        await self.add_balance_entry("topup", amount, currency)

    # -- events --------------------------------------------------------------------------------

    async def hold_events(self, type: str = "*", times: int = 1000) -> None:
        """Hold the next events of a type or pattern until `release_events`."""
        await self.fault(webhook=type, hold=True, times=times)

    async def money_of(self, account: str | None = None) -> dict[str, int]:
        """All money of an account by currency, available or not; also of one that is closed."""
        some = {"account": account} if account else {}
        found: dict[str, int] = (await self.control("POST", "balances", some))["data"]
        return found

    async def release_events(
        self, type: str = "*", *, newest_first: bool = False, gap: float = 0
    ) -> int:
        """Send the held events, `gap` seconds apart (without a gap up to four at once), and end the
        hold. Returns their number."""
        body = {"type": type, "order": "newest" if newest_first else "oldest", "gap": gap}
        return int((await self.control("POST", "releases", body))["released"])

    async def replay(self, event: str, times: int = 1, age: float | None = None) -> None:
        """Deliver an event again, `times` times at once. With `age` in seconds the signature is
        that old, and the delivery is tried only once."""
        body = {"event": event, "times": times, "age": age}
        await self.control("POST", "replays", body)

    # -- logs -------------------------------------------------------------------------

    async def requests(self) -> list[Json]:
        """The whole request log, oldest first."""
        return await self._all("requests")

    async def deliveries(self, kind: str = "") -> list[Json]:
        """Webhook deliveries, oldest first, of one event type if given."""
        return [row for row in await self._all("deliveries") if kind in ("", row["type"])]

    async def events(self, kind: str = "", account: str | None = None) -> list[Json]:
        """The newest hundred events, oldest first, of one type or pattern if given."""
        some = {"type": kind} if kind else {}
        return (await self.api("GET", "events", account, limit=100, **some))["data"][::-1]

    async def pending(self) -> list[str]:
        """Events whose delivery has not succeeded yet."""
        return [row["type"] for row in await self._all("deliveries", "&status=pending")]

    async def rest(self) -> dict[str, int]:
        """How many `faults` are in force, and how many events are `undelivered` and `untold`."""
        counts: dict[str, int] = await self.control("GET", "rest")
        return counts

    async def untold(self) -> list[str]:
        """Events whose delivery a fault dropped, or holds back."""
        kinds = ("dropped", "held")
        return [
            row["type"]
            for kind in kinds
            for row in await self._all("deliveries", f"&status={kind}")
        ]

    async def calls(self) -> list[str]:
        """The request log as `POST /v1/refunds`, oldest first."""
        return [f"{entry['method']} {entry['path']}" for entry in await self.requests()]

    async def _all(self, name: str, some: str = "") -> list[Json]:
        rows: list[Json] = []
        while True:
            after = rows[-1]["id"] if rows else 0
            page = await self.control("GET", f"{name}?after={after}{some}")
            rows += page["data"]
            if not page["has_more"]:
                return rows

    async def control(self, method: str, name: str, json: Any = None) -> Json:
        url = f"{self.base}/_sandbox/{name}"
        async with self._web.request(
            method, url, json=json, headers=self.control_headers
        ) as response:
            body: Json = await response.json()
            assert response.status == 200, body
            return body

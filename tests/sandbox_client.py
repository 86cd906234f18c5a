"""One test's own corner of the Stripe sandbox: faults, clock, settings, log, pages."""

from typing import Any

from aiohttp import ClientSession

Json = dict[str, Any]

EVENTS = ("enabled_events[]", "*")


class Sandbox:
    """Everything belongs to the secret key, so tests do not see each other."""

    def __init__(self, base: str, key: str) -> None:
        self.base = base
        self.key = key
        self._web = ClientSession(headers={"Authorization": f"Bearer {key}"})

    async def close(self) -> None:
        await self._web.close()

    # -- Stripe's own API, as a browser or another client would use it -------------------------

    async def api(self, method: str, path: str, account: str | None = None, **params: Any) -> Json:
        """Any call under /v1; parameters in Stripe's form notation, as in `**{"card[cvc]": 1}`."""
        place = {"params": params} if method == "GET" else {"data": params}
        headers = {"Stripe-Account": account} if account else {}
        async with self._web.request(
            method, f"{self.base}/v1/{path}", headers=headers, **place
        ) as response:
            body: Json = await response.json()
            assert response.status == 200, body
            return body

    async def register_webhooks(self, url: str) -> list[str]:
        """One endpoint for the platform's events, one for connected accounts'; their secrets."""
        return [
            (await self.api("POST", "webhook_endpoints", url=url, connect=connect,
                            **dict([EVENTS])))["secret"]
            for connect in ("false", "true")
        ]  # fmt: skip

    # -- the pages a person sees ---------------------------------------------------------------

    async def fill_in_onboarding(self, url: str, name: str, currencies: str = "") -> None:
        """Submit the onboarding form; `currencies` ("usd,jpy") are those of the bank accounts."""
        form = {"name": name, "bank_account": "000123456789", "currencies": currencies}
        await self._submit(url, form)

    async def challenge(self, redirect_url: str, *, passed: bool = True) -> None:
        """Answer the bank's 3-D Secure question."""
        await self._submit(f"{redirect_url}/{'complete' if passed else 'fail'}", {})

    async def _submit(self, url: str, form: Json) -> None:
        async with self._web.post(url, data=form, allow_redirects=False) as response:
            assert response.status == 303, await response.text()

    # -- faults, time, settings ----------------------------------------------------------------

    async def fault(self, **rule: Any) -> Json:
        """Order a fault, for example `path="/v1/payment_intents/*/capture", status=500, times=2`.

        One target of `path`, `webhook`, `payout`, `refund`; with `method`, `when` (before, after
        the effect), `status`, `error`, `delay`, `drop`, `duplicate`, `failure_code`, `after_paid`.
        """
        return await self._control("POST", "faults", rule)

    async def clear_faults(self) -> None:
        await self._control("DELETE", "faults")

    async def advance(self, seconds: float) -> None:
        """Move this key's clock forward; what falls due happens."""
        await self._control("POST", "clock", {"advance": seconds})

    async def settings(self, **changed: float) -> Json:
        """Change fee_bps, fee_fixed, hold_seconds, available_ or payout_delay_seconds."""
        return await self._control("POST", "settings", changed)

    # -- what happened -------------------------------------------------------------------------

    async def requests(self) -> list[Json]:
        """The whole request log, oldest first."""
        return await self._all("requests")

    async def deliveries(self, kind: str = "") -> list[Json]:
        """Webhook deliveries, oldest first, of one event type if given."""
        return [row for row in await self._all("deliveries") if kind in ("", row["type"])]

    async def pending(self) -> list[str]:
        """Events whose delivery has not succeeded yet."""
        return [row["type"] for row in await self.deliveries() if row["status"] == "pending"]

    async def calls(self) -> list[str]:
        """The log as `POST /v1/refunds`."""
        return [f"{entry['method']} {entry['path']}" for entry in await self.requests()]

    async def _all(self, name: str) -> list[Json]:
        rows: list[Json] = []
        while True:
            after = rows[-1]["id"] if rows else 0
            more = (await self._control("GET", f"{name}?after={after}"))["data"]
            if not more:
                return rows
            rows += more

    async def _control(self, method: str, name: str, json: Any = None) -> Json:
        async with self._web.request(method, f"{self.base}/_sandbox/{name}", json=json) as response:
            body: Json = await response.json()
            assert response.status == 200, body
            return body

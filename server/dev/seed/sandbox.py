"""What people, banks and Stripe do at the sandbox: pages, cards, verdicts, and its clock."""

from typing import Any

from aiohttp import ClientSession, ClientTimeout

Json = dict[str, Any]

BANK_ACCOUNT = "000123456789"
SECONDS = 30.0


class Sandbox:
    """The corner of one deployment in the sandbox."""

    def __init__(self, api_base: str, secret_key: str, publishable_key: str, control: str) -> None:
        self._base = api_base
        self._publishable_key = publishable_key
        self._control = {"Authorization": f"Bearer {secret_key}", "Sandbox-Control-Key": control}
        self._http = ClientSession(timeout=ClientTimeout(total=SECONDS), raise_for_status=True)

    async def close(self) -> None:
        await self._http.close()

    async def control(self, name: str, body: Json | None = None) -> Json:
        """A request of the control API. Raises ClientError."""
        method, url = "GET" if body is None else "POST", f"{self._base}/_sandbox/{name}"
        async with self._http.request(method, url, json=body, headers=self._control) as response:
            answer: Json = await response.json()
            return answer

    async def settings(self, **changed: float) -> None:
        await self.control("settings", changed)

    async def move(self, ahead: float) -> None:
        """Let its clock be so many seconds ahead of the real time, or behind."""
        await self.control("clock", {"ahead": ahead})

    async def undelivered(self) -> int:
        return int((await self.control("clock"))["undelivered"])

    async def fill_in_onboarding(self, url: str, name: str, currencies: str) -> None:
        form = {"name": name, "bank_account": BANK_ACCOUNT, "currencies": currencies.lower()}
        await self._submit(url, form)

    async def answer_challenge(self, url: str, *, passed: bool) -> None:
        """Complete or fail the bank's 3-D Secure page."""
        await self._submit(f"{url}/{'complete' if passed else 'fail'}", {})

    async def pay(self, client_secret: str, card: str) -> str | None:
        """What a payment page does with a new card. Returns the address of a 3-D Secure page."""
        id = client_secret.partition("_secret_")[0]
        kind = "setup_intents" if id.startswith("seti_") else "payment_intents"
        form = {
            "client_secret": client_secret,
            "payment_method": card,
            "return_url": "http://127.0.0.1/",
        }
        headers = {"Authorization": f"Bearer {self._publishable_key}"}
        url = f"{self._base}/v1/{kind}/{id}/confirm"
        async with self._http.post(
            url, data=form, headers=headers, raise_for_status=False
        ) as response:
            answer = await response.json()
        action = answer.get("next_action") or {}
        found: str | None = (action.get("redirect_to_url") or {}).get("url")
        return found

    async def charge_back(self, charge: str, reason: str) -> str:
        """The cardholder disputes a charge. Returns the id of Stripe's dispute."""
        made = await self.control("disputes", {"charge": charge, "reason": reason})
        return str(made["dispute"]["id"])

    async def decide_chargeback(self, dispute: str, *, won: bool) -> None:
        await self.control("verdicts", {"dispute": dispute, "status": "won" if won else "lost"})

    async def fail_next_payout(self, account: str) -> None:
        """The bank of this account returns its next payout."""
        await self.control("faults", {"payout": account, "failure_code": "account_closed"})

    async def _submit(self, url: str, form: Json) -> None:
        async with self._http.post(url, data=form, allow_redirects=False):
            pass

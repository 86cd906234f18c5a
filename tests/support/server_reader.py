"""Reads a running server as one of its users does, to find records that are worth a look."""

import json
import secrets
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from server.demo_accounts import DEMO_PASSWORD

Json = dict[str, Any]


class Reader:
    """Signs in with a demo account and reads lists."""

    def __init__(self, origin: str, account: str, email: str = "") -> None:
        self.origin, self.account = origin, account
        login = {"email": email or f"{account}@demo.test", "password": DEMO_PASSWORD}
        self.session: Json = self._ask("POST", "/api/account/login", login)

    @classmethod
    def registered(cls, origin: str, account: str, role: str) -> "Reader":
        """A new user, who has nothing yet."""
        email = f"{account}-{secrets.token_hex(4)}@demo.test"
        person = {"email": email, "password": DEMO_PASSWORD, "name": "Nora Newcomer", "role": role}
        reader = cls.__new__(cls)
        reader.origin, reader.account = origin, account
        reader.session = {}
        reader.session = reader._ask("POST", "/api/account/register", person)
        return reader

    def items(self, path: str) -> list[Json]:
        """Up to 100 items of a list."""
        page = self._ask("GET", f"{path}{'&' if '?' in path else '?'}limit=100")
        found: list[Json] = page["items"]
        return found

    def one(self, path: str) -> Json:
        return self.items(path)[0]

    def by_status(self, path: str) -> dict[str, list[Json]]:
        """The items of a list by their status."""
        found: dict[str, list[Json]] = {}
        for item in self.items(path):
            found.setdefault(item["status"], []).append(item)
        return found

    def _ask(self, method: str, path: str, body: Json | None = None) -> Json:
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.origin + path, data, method=method)
        request.add_header("Content-Type", "application/json")
        if token := getattr(self, "session", {}).get("access_token"):
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urlopen(request, timeout=20) as response:
                answer: Json = json.load(response)
        except HTTPError as refused:
            raise AssertionError(f"{path}: {refused.read().decode()}") from None
        return answer

"""The connections of the Stripe SDK: their time limit, their certificates, and what they report."""

import contextlib
import ssl
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import msgspec
import stripe
from aiohttp import ClientSession, TCPConnector
from stripe import StripeClient
from stripe._http_client import AIOHTTPClient

from domain.ports.payment_gateway import ACCOUNT_GONE

Observe = Callable[[float, bool], None]
Forbidden = Callable[[str, str], None]

VERSION = "2026-05-27.dahlia"
TIMEOUT_SECONDS = 10


class Connections(AIOHTTPClient):
    """Follows no redirects: Stripe sends none, and another address must not get our requests. Tells
    `observe` how long each request took and whether it failed, and `forbidden` which resource the
    key may not use and why."""

    observe: Observe = staticmethod(lambda seconds, failed: None)
    forbidden: Forbidden = staticmethod(lambda resource, message: None)
    is_plain = False  # without TLS, as the sandbox: no certificates are loaded

    async def request_async(self, method: str, url: str, *args: Any, **named: Any) -> Any:
        began, status = time.monotonic(), 0
        try:
            answer = await super().request_async(method, url, *args, **named)
            status = answer[1]
            if status in (401, 403):
                self._tell_forbidden(url, status, answer[0])
            return answer
        finally:
            failed = status in (0, 429) or status >= 500
            self.observe(time.monotonic() - began, failed)

    def _tell_forbidden(self, url: str, status: int, content: bytes) -> None:
        with contextlib.suppress(msgspec.DecodeError, LookupError, TypeError):
            if is_forbidden(status, error := msgspec.json.decode(content)["error"]):
                self.forbidden(urlsplit(url).path.split("/")[2], error["message"])

    def _get_request_args_kwargs(self, *args: Any) -> Any:
        positional, named = super()._get_request_args_kwargs(*args)
        return positional, {**named, "allow_redirects": False}

    @property
    def _session(self) -> ClientSession:
        if self._cached_session is None:
            self._user_connector = TCPConnector(ssl=self.is_plain or _trust())
        session: ClientSession = super()._session
        return session


@cache
def _trust() -> ssl.SSLContext:
    """The certificates that the SDK trusts. Loading them takes 20 ms: once for each process."""
    return ssl.create_default_context(cafile=stripe.ca_bundle_path)


def connect(secret_key: str, api_base: str | None) -> tuple[StripeClient, Connections]:
    """The SDK's client, and the connections behind it, which the caller closes."""
    http = Connections(timeout=TIMEOUT_SECONDS)
    http.is_plain = (api_base or "").startswith("http://")
    addresses: Any = {"api": api_base, "files": api_base} if api_base else {}
    client = StripeClient(
        secret_key,
        http_client=http,
        stripe_version=VERSION,
        max_network_retries=0,
        base_addresses=addresses,
    )
    return client, http


def is_forbidden(status: int, error: Mapping[str, Any]) -> bool:
    """Whether Stripe refuses the key, and not what is asked for."""
    return status == 401 or (status == 403 and error.get("code") != ACCOUNT_GONE)

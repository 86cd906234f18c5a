"""The HTTP side of the API: keys, idempotency, faults, the error envelope and the request log."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import web

from server.dev.stripe_sandbox import accounts, connect, faults, forms, memory, routes, timers

from .call import VERSION, Call
from .errors import Json, StripeError, missing, unauthorized
from .state import Store, Tenant, new_id

log = logging.getLogger("sandbox")
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "authorization, content-type, stripe-version, idempotency-key",
    "Access-Control-Expose-Headers": "Request-Id, Idempotent-Replayed",
}


@dataclass
class Ask:
    """One request, read."""

    tenant: Tenant
    public: bool
    account: str
    method: str
    path: str
    raw: str
    query: str
    key: str | None
    base_url: str
    request_id: str
    print: str


@dataclass
class Reply:
    """One answer, ready to send."""

    status: int
    body: str
    replayed: bool = False


def secret_of(header: str) -> tuple[str, bool]:
    """(secret key, whether the publishable one was used). Raises 401."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "basic":
        token = base64.b64decode(token + "==").decode(errors="replace").partition(":")[0]
    token = token.strip()
    if token.startswith("sk_test_") and len(token) > 8:
        return token, False
    if token.startswith("pk_test_") and len(token) > 8:
        return "sk" + token[2:], True
    if not token:
        raise unauthorized(
            "You did not provide an API key. You need to provide your API key in the Authorization"
            " header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
    raise unauthorized(f"Invalid API Key provided: {token[:8]}{'*' * 12}")


def tenant_of(store: Store, key: str) -> Tenant:
    """The tenant of a secret key; the first use makes it."""
    tenant = store.tenant(key)
    if tenant is None:
        tenant = Tenant(key, new_id("acct_1", 15))
        with store.transaction():
            store.save_tenant(tenant)
            account = accounts.platform(tenant.account, int(tenant.now()))
            store.insert(key, tenant.account, account)
    return tenant


class Api:
    """Answers /v1 requests; the work between two awaits is one transaction."""

    def __init__(self, store: Store, log_limit: int, wake: asyncio.Event) -> None:
        self.store = store
        self.log_limit = log_limit
        self.wake = wake
        self._running: set[tuple[str, str, str]] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request from the wire to the wire."""
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=CORS)
        try:
            ask = await self._read(request)
        except StripeError as error:
            return _response(Reply(error.status, json.dumps(error.body)), new_id("req_", 14))
        slot = (ask.tenant.key, ask.account, ask.key or "")
        if ask.key and slot in self._running:
            return _response(self._busy(ask), ask.request_id)
        self._running.add(slot)
        try:
            reply, fault = await self._serve(ask)
        except Exception:
            log.exception("request failed: %s %s", ask.method, ask.path)
            unknown = StripeError(500, "api_error", "An unknown error occurred.")
            return _response(Reply(500, json.dumps(unknown.body)), ask.request_id)
        finally:
            self._running.discard(slot)
        if fault.get("drop") and request.transport is not None:
            request.transport.abort()
        return _response(reply, ask.request_id)

    async def _read(self, request: web.Request) -> Ask:
        key, public = secret_of(request.headers.get("Authorization", ""))
        tenant = tenant_of(self.store, key)
        account = request.headers.get("Stripe-Account") or tenant.account
        if account != tenant.account:
            connect.retrieve(Call(self.store, tenant, tenant.account), account)
        raw = await request.text()
        unsafe = request.method != "GET"
        full = raw if request.method == "POST" else request.query_string
        return Ask(
            tenant,
            public,
            account,
            request.method,
            request.path,
            raw,
            request.query_string,
            request.headers.get("Idempotency-Key") if unsafe else None,
            str(request.url.origin()),
            new_id("req_", 14),
            memory.fingerprint(request.method, request.path, full),
        )

    async def _serve(self, ask: Ask) -> tuple[Reply, Json]:
        fault = self._take_fault(ask)
        if fault.get("delay") and fault["when"] == "before":
            await asyncio.sleep(fault["delay"])
        reply = self.answer(ask, fault)
        self.wake.set()
        if fault.get("delay") and fault["when"] == "after":
            await asyncio.sleep(fault["delay"])
        return reply, fault

    def _take_fault(self, ask: Ask) -> Json:
        try:
            replay = self._recall(ask) is not None
        except StripeError:
            return {}
        fault = faults.take_for_request(
            self.store, ask.tenant.key, ask.method, ask.path, replay=replay
        )
        return fault or {}

    def _recall(self, ask: Ask) -> tuple[int, str] | None:
        if ask.key is None:
            return None
        return memory.recall(self.store, ask.tenant, ask.account, ask.key, ask.print)

    def answer(self, ask: Ask, fault: Json) -> Reply:
        """Effect, events, idempotency record and log entry: together or not at all."""
        # The wait before may have seen the clock move.
        ask.tenant = self.store.tenant(ask.tenant.key) or ask.tenant
        with self.store.transaction():
            timers.run(self.store, ask.tenant)
            reply = self._decide(ask, fault)
            self._log(ask, reply)
        return reply

    def _decide(self, ask: Ask, fault: Json) -> Reply:
        try:
            stored = self._recall(ask)
            if stored:
                return Reply(*stored, replayed=True)
            error = faults.as_error(fault)
            lost = fault.get("drop") and fault["when"] == "before"
            if lost or (error and fault["when"] == "before"):
                raise error or StripeError(
                    500, "api_error", "The connection was lost.", stored=False
                )
            reply = self._execute(ask)
            return self._refuse(ask, error) if error else reply
        except StripeError as refusal:
            return self._refuse(ask, refusal)

    def _execute(self, ask: Ask) -> Reply:
        route, names = routes.find(ask.method, ask.path)
        text = ask.raw if ask.method == "POST" else ask.query
        params = forms.read(route.spec, forms.decode(text))
        if ask.public:
            _check_public(route, names, params)
        call = Call(
            self.store, ask.tenant, ask.account, params, ask.base_url, ask.request_id, ask.key
        )
        self.store.db.execute("SAVEPOINT work")
        try:
            body = call.render(route.handler(call, *names), params.get("expand", []))
        except StripeError as error:
            if error.keeps_effect:
                call.flush()
            else:
                self.store.db.execute("ROLLBACK TO work")
            raise
        finally:
            self.store.db.execute("RELEASE work")
        reply = Reply(200, body)
        self._remember(ask, reply)
        return reply

    def _refuse(self, ask: Ask, error: StripeError) -> Reply:
        if error.fields["type"] == "card_error" and "payment_intent" not in error.fields:
            self._add_intent(ask, error)
        body = error.body
        body["error"]["request_log_url"] = f"{ask.base_url}/_sandbox/requests#{ask.request_id}"
        reply = Reply(error.status, json.dumps(body))
        if error.stored:
            self._remember(ask, reply)
        return reply

    def _add_intent(self, ask: Ask, error: StripeError) -> None:
        """A card error on a payment intent tells its state."""
        name = next((step for step in ask.path.split("/") if step.startswith("pi_")), None)
        call = Call(self.store, ask.tenant, ask.account)
        intent = call.find(name, ask.account)
        if intent is not None:
            error.fields["payment_intent"] = call.shown(intent)
            if intent["latest_charge"]:
                error.fields.setdefault("charge", intent["latest_charge"])

    def _remember(self, ask: Ask, reply: Reply) -> None:
        if ask.key is not None:
            memory.remember(
                self.store, ask.tenant, ask.account, ask.key, ask.print, reply.status, reply.body
            )

    def _busy(self, ask: Ask) -> Reply:
        error = StripeError(
            409,
            "idempotency_error",
            "There is currently another in-progress request using this Idempotent Key (that"
            " probably means you submitted twice, and the other request is still going through).",
            code="idempotency_key_in_use",
        )
        reply = Reply(409, json.dumps(error.body))
        with self.store.transaction():
            self._log(ask, reply)
        return reply

    def _log(self, ask: Ask, reply: Reply) -> None:
        entry = {
            "request_id": ask.request_id,
            "method": ask.method,
            "path": ask.path,
            "stripe_account": None if ask.account == ask.tenant.account else ask.account,
            "body": ask.raw,
            "query": ask.query,
            "idempotency_key": ask.key,
            "status": reply.status,
            "response": reply.body,
            "replayed": reply.replayed,
            "time": time.time(),
        }
        memory.log(self.store, ask.tenant, entry, self.log_limit)


def _check_public(route: routes.Route, names: list[str], params: Json) -> None:
    """A browser may only do what its client secret is for. Raises 401."""
    if not route.public:
        raise unauthorized(
            "This API call cannot be made with a publishable API key. Please use a secret API key."
        )
    if names and not params.get("client_secret"):
        raise missing("client_secret")


def _response(reply: Reply, request_id: str) -> web.Response:
    headers = {**CORS, "Request-Id": request_id, "Stripe-Version": VERSION}
    if reply.replayed:
        headers["Idempotent-Replayed"] = "true"
    return web.Response(
        text=reply.body, status=reply.status, headers=headers, content_type="application/json"
    )


def query_of(request: web.Request) -> dict[str, str]:
    """The query of a control request."""
    return dict(parse_qsl(request.query_string))

"""The HTTP side of Stripe's API: API keys, idempotency, faults, error envelope, request log."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import time
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from aiohttp import web

from server.dev.stripe_sandbox import (
    access,
    account_objects,
    connect,
    fault_injection,
    idempotency_keys,
    parameters,
    request_log,
    routes,
    timers,
    v2_parameters,
)
from server.dev.stripe_sandbox.errors import Json, StripeError, malformed, missing, unauthorized
from server.dev.stripe_sandbox.request_context import VERSION, RequestContext
from server.dev.stripe_sandbox.store import Store, Tenant, new_id
from server.dev.stripe_sandbox.wake import Wake

log = logging.getLogger("sandbox")


@dataclass
class ApiRequest:
    """One parsed API request. `key` is its idempotency key, `raw` its body."""

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
    fingerprint: str


@dataclass
class ApiResponse:
    """One answer. `replayed` says that it was stored under the idempotency key."""

    status: int
    body: str
    replayed: bool = False


def read_api_key(store: Store, header: str) -> tuple[str, bool]:
    """(secret key, whether the request used the publishable key). Raises 401."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "basic":
        token = base64.b64decode(token + "==").decode(errors="replace").partition(":")[0]
    token = token.strip()
    if token.startswith("sk_test_") and len(token) > 8:
        return token, False
    if token.startswith("pk_test_") and (secret := access.secret_key_of(store, token)):
        return secret, True
    if not token:
        raise unauthorized(
            "You did not provide an API key. You need to provide your API key in the Authorization"
            " header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
    raise unauthorized(f"Invalid API Key provided: {token[:8]}{'*' * 12}")


def check_version(wanted: str | None) -> None:
    """Raises the 400 of an unknown version. The sandbox answers in one version only, so it knows no
    other."""
    if wanted not in (None, VERSION):
        raise malformed(f"Invalid Stripe API version: {wanted}")


def find_or_create_tenant(store: Store, key: str) -> Tenant:
    """The tenant of a secret key. The first request with a key creates its tenant."""
    tenant = store.tenant(key)
    if tenant is None:
        tenant = Tenant(key, new_id("acct_1", 15))
        with store.transaction():
            store.save_tenant(tenant)
            account = account_objects.new_platform_account(tenant.account, int(tenant.now()))
            store.insert(key, tenant.account, account)
    return tenant


class ApiServer:
    """Answers requests, each in one transaction without an await inside."""

    def __init__(
        self, store: Store, log_limit: int, wake: Wake, delays: fault_injection.Delays
    ) -> None:
        self.store = store
        self.delays = delays
        self.log_limit = log_limit
        self.wake = wake
        self._running_keys: set[tuple[str, str, str]] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one HTTP request."""
        cors = access.cors_headers(self.store, request)
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=cors)
        response = await self._handle(request)
        response.headers.update(cors)
        return response

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            api_request = await self._read_request(request)
        except StripeError as error:
            return _web_response(
                ApiResponse(error.status, json.dumps(error.body)), new_id("req_", 14)
            )
        running_key = (api_request.tenant.key, api_request.account, api_request.key or "")
        if api_request.key and running_key in self._running_keys:
            return _web_response(self._key_in_use(api_request), api_request.request_id)
        self._running_keys.add(running_key)
        try:
            reply, fault = await self._answer_with_fault(api_request)
        except Exception:
            log.exception("request failed: %s %s", api_request.method, api_request.path)
            unknown = StripeError(500, "api_error", "An unknown error occurred.")
            return _web_response(ApiResponse(500, json.dumps(unknown.body)), api_request.request_id)
        finally:
            self._running_keys.discard(running_key)
        if fault.get("drop") and request.transport is not None:
            request.transport.abort()
        return _web_response(reply, api_request.request_id)

    async def _read_request(self, request: web.Request) -> ApiRequest:
        key, public = read_api_key(self.store, request.headers.get("Authorization", ""))
        check_version(request.headers.get("Stripe-Version"))
        tenant = find_or_create_tenant(self.store, key)
        account = request.headers.get("Stripe-Account") or tenant.account
        if account != tenant.account:
            connect.retrieve(RequestContext(self.store, tenant, tenant.account), account)
        raw = await _read_body(request)
        has_effect = request.method != "GET"
        parameters_text = raw if request.method == "POST" else request.query_string
        return ApiRequest(
            tenant,
            public,
            account,
            request.method,
            request.path,
            raw,
            request.query_string,
            request.headers.get("Idempotency-Key") if has_effect else None,
            str(request.url.origin()),
            new_id("req_", 14),
            idempotency_keys.fingerprint(request.method, request.path, parameters_text),
        )

    async def _answer_with_fault(self, request: ApiRequest) -> tuple[ApiResponse, Json]:
        fault = self._take_fault(request)
        if fault.get("delay") and fault["when"] == "before":
            await self.delays.wait(request.tenant.key, fault["delay"])
        reply = self.answer(request, fault)
        self.wake.set()
        if fault.get("delay") and fault["when"] == "after":
            await self.delays.wait(request.tenant.key, fault["delay"])
        return reply, fault

    def _take_fault(self, request: ApiRequest) -> Json:
        try:
            replay = self._find_stored(request) is not None
        except StripeError:
            return {}
        fault = fault_injection.take_for_request(
            self.store, request.tenant.key, request.method, request.path, replay=replay
        )
        return fault or {}

    def _find_stored(self, request: ApiRequest) -> tuple[int, str] | None:
        if request.key is None:
            return None
        return idempotency_keys.find_response(
            self.store,
            request.tenant,
            request.account,
            request.key,
            request.fingerprint,
        )

    def answer(self, request: ApiRequest, fault: Json) -> ApiResponse:
        """Commit effect, events, stored response and log entry in one transaction."""
        # The clock may have been moved during the fault's delay.
        request.tenant = self.store.tenant(request.tenant.key) or request.tenant
        with self.store.transaction():
            timers.run_due(self.store, request.tenant)
            reply = self._answer_once(request, fault)
            self._append_to_log(request, reply)
        return reply

    def _answer_once(self, request: ApiRequest, fault: Json) -> ApiResponse:
        try:
            stored = self._find_stored(request)
            if stored:
                return ApiResponse(*stored, replayed=True)
            error = fault_injection.error_response(fault)
            lost = fault.get("drop") and fault["when"] == "before"
            if lost or (error and fault["when"] == "before"):
                raise error or StripeError(
                    500, "api_error", "The connection was lost.", stored=False
                )
            reply = self._execute(request)
            return self._error_response(request, error) if error else reply
        except StripeError as refusal:
            return self._error_response(request, refusal)

    def _execute(self, request: ApiRequest) -> ApiResponse:
        route, names = routes.find(request.method, request.path)
        params = _parse(route, request)
        if request.public:
            _check_publishable_key(route, names, params)
        context = RequestContext(
            self.store,
            request.tenant,
            request.account,
            params,
            request.base_url,
            request.request_id,
            request.key,
        )
        self.store.db.execute("SAVEPOINT work")
        try:
            body = context.render(route.handler(context, *names), params.get("expand", []))
        except StripeError as error:
            if error.keeps_effect:
                context.flush()
            else:
                self.store.db.execute("ROLLBACK TO work")
            raise
        finally:
            self.store.db.execute("RELEASE work")
        reply = ApiResponse(200, body)
        self._store_response(request, reply)
        return reply

    def _error_response(self, request: ApiRequest, error: StripeError) -> ApiResponse:
        if error.fields["type"] == "card_error" and "payment_intent" not in error.fields:
            self._add_payment_intent(request, error)
        reply = ApiResponse(error.status, json.dumps(_error_body(request, error)))
        # The /v2 API executes a failed request again under its key.
        if error.stored and not request.path.startswith(routes.V2):
            self._store_response(request, reply)
        return reply

    def _add_payment_intent(self, request: ApiRequest, error: StripeError) -> None:
        """Add the payment intent to a card error, as Stripe does."""
        name = next((step for step in request.path.split("/") if step.startswith("pi_")), None)
        context = RequestContext(self.store, request.tenant, request.account)
        intent = context.find(name, request.account)
        if intent is not None:
            error.fields["payment_intent"] = context.public_view(intent)
            if intent["latest_charge"]:
                error.fields.setdefault("charge", intent["latest_charge"])

    def _store_response(self, request: ApiRequest, reply: ApiResponse) -> None:
        if request.key is not None:
            idempotency_keys.store_response(
                self.store,
                request.tenant,
                request.account,
                request.key,
                request.fingerprint,
                reply.status,
                reply.body,
            )

    def _key_in_use(self, request: ApiRequest) -> ApiResponse:
        error = StripeError(
            409,
            "idempotency_error",
            "There is currently another in-progress request using this Idempotent Key (that"
            " probably means you submitted twice, and the other request is still going through).",
            code="idempotency_key_in_use",
        )
        reply = ApiResponse(409, json.dumps(error.body))
        with self.store.transaction():
            self._append_to_log(request, reply)
        return reply

    def _append_to_log(self, request: ApiRequest, reply: ApiResponse) -> None:
        entry = {
            "request_id": request.request_id,
            "method": request.method,
            "path": request.path,
            "stripe_account": None
            if request.account == request.tenant.account
            else request.account,
            "body": request.raw,
            "query": request.query,
            "idempotency_key": request.key,
            "status": reply.status,
            "response": reply.body,
            "replayed": reply.replayed,
            "time": time.time(),
        }
        request_log.append(self.store, request.tenant, entry, self.log_limit)


def _parse(route: routes.Route, request: ApiRequest) -> Json:
    post = request.method == "POST"
    if request.path.startswith(routes.V2):
        if post:
            return v2_parameters.parse_body(route.spec, request.raw)
        return v2_parameters.parse_query(route.spec, request.query)
    text = request.raw if post else request.query
    return parameters.parse(route.spec, parameters.decode_form(text))


def _error_body(request: ApiRequest, error: StripeError) -> Json:
    if request.path.startswith(routes.V2):
        return error.body_v2
    body = error.body
    url = f"{request.base_url}/_sandbox/requests#{request.request_id}"
    body["error"]["request_log_url"] = url
    return body


async def _read_body(request: web.Request) -> str:
    """The body as text. A file in a form becomes its name, size in bytes and digest."""
    if request.content_type != "multipart/form-data":
        return await request.text()
    fields: list[tuple[str, str]] = []
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            content = value.file.read()
            digest = hashlib.sha256(content).hexdigest()
            fields.append((name, f"{value.filename} {len(content)} {digest}"))
        elif isinstance(value, str):
            fields.append((name, value))
    return urlencode(fields)


def _check_publishable_key(route: routes.Route, names: list[str], params: Json) -> None:
    """Allow a publishable key only public routes with a client secret. Raises 401."""
    if not route.public:
        raise unauthorized(
            "This API call cannot be made with a publishable API key. Please use a secret API key."
        )
    if names and not params.get("client_secret"):
        raise missing("client_secret")


def _web_response(reply: ApiResponse, request_id: str) -> web.Response:
    headers = {"Request-Id": request_id, "Stripe-Version": VERSION}
    if reply.replayed:
        headers["Idempotent-Replayed"] = "true"
    return web.Response(
        text=reply.body, status=reply.status, headers=headers, content_type="application/json"
    )


def read_query(request: web.Request) -> dict[str, str]:
    """The query parameters of a control request."""
    return dict(parse_qsl(request.query_string))

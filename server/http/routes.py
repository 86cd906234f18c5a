"""HTTP: one route for each exposed operation, bearer tokens, errors as problem+json."""

import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache, partial
from typing import Any, get_type_hints

import msgspec
import structlog
from aiohttp import hdrs, web
from aiohttp.http import HttpProcessingError

from domain.files.file import Received
from domain.kernel.actor import Actor
from domain.kernel.errors import (
    DomainError,
    InternalError,
    Invalid,
    NotFound,
    RateLimited,
    Rule,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnknownCommand,
    UnsupportedType,
)
from domain.kernel.networks import network_of
from domain.kernel.store import UNREACHABLE
from domain.operations.command import Command, Meta
from domain.operations.input_size import LEAST, max_input, read_bounded
from domain.operations.operation import Operation
from server.authentication import Authenticator
from server.http import downloads
from server.http.conditional import is_known, tag_of
from server.http.transfer_slots import TransferSlots
from server.http.uploads import Uploads
from server.operation_calls import ChargeAnswer, Note, Refuse, RunOperation, checked_request_id
from server.problems import PROBLEM, problem
from server.runtime import json_input
from server.token_buckets import rounded

log = structlog.get_logger()

MAX_AGENT = 500  # characters
MAX_BODY = LEAST  # bytes of JSON, unless the texts of its operation may be longer
# At the same time, on this process.
DOWNLOADS_OF_USER, DOWNLOADS_OF_NETWORK, ALL_DOWNLOADS = 16, 200, 400
JSON = "application/json"
MAX_PARAMETERS = 300  # in a query; its length is limited by the request line
METHODS = {"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"}
# Some frameworks take the method from these. A client that sends one expects that.
OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
UNREADABLE = (ValueError, RecursionError)
# What reading a request's body raises when it is malformed, or when its client has gone.
BROKEN_BODY = (web.RequestPayloadError, HttpProcessingError, ConnectionError)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpApi:
    """Turns requests into operation calls, and their answers into responses."""

    def __init__(
        self,
        run: RunOperation,
        refuse: Refuse,
        note: Note,
        authenticator: Authenticator,
        address: Callable[[web.BaseRequest], str],
        charge: Callable[[str], float],
        charge_answer: ChargeAnswer,
    ) -> None:
        self._run = run
        self._refuse = refuse
        self._note = note
        self._authenticator = authenticator
        self._address = address
        self._charge = charge
        self._charge_answer = charge_answer
        self._uploads = Uploads()
        self._downloads = TransferSlots(DOWNLOADS_OF_USER, DOWNLOADS_OF_NETWORK, ALL_DOWNLOADS)

    def route(self, method: str, path: str, op: Operation, kept_seconds: int = 0) -> web.RouteDef:
        """GET takes its fields from the query, other methods from a JSON body. Caches may keep
        what a GET answers for `kept_seconds`."""
        lists = _list_fields(op.command)
        takes_query = method == hdrs.METH_GET

        async def handle(request: web.Request) -> web.Response:
            try:
                actor = await self._caller(request, op)
                if takes_query:
                    fields, size = _query(request, lists), len(request.query_string)
                else:
                    fields, size = await _body(request, max_input(op.command))
                for name, value in request.match_info.items():
                    if fields.setdefault(name, value) != value:
                        raise Invalid(
                            "the body and the address differ.", field=name, rule=Rule.VALUE
                        )
                request_id = checked_request_id(request.headers.get("Idempotency-Key"))
            except DomainError as refused:
                return self._turn_away(request, op, refused)
            agent = request.headers.get(hdrs.USER_AGENT, "")[:MAX_AGENT]
            address = self._address(request)
            meta = Meta(request_id, address, agent, text=takes_query, size=size)
            answer = await self._run(op, fields, actor, meta)
            response = self.respond(answer)
            if takes_query and not answer.error:
                response = _conditional(request, op, answer.data, response)
                if kept_seconds:
                    response.headers[hdrs.CACHE_CONTROL] = f"public, max-age={kept_seconds}"
            self._charge_answer(actor, len(response.body or b""))  # type: ignore[arg-type]
            return response

        return web.route(method, path, handle)

    def download(self, path: str, op: Operation, run: RunOperation) -> web.RouteDef:
        """A file for the callers of `op`, with its fields in the query; errors are problem+json."""
        lists = _list_fields(op.command)

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                fields = _query(request, lists) | dict(request.match_info)
                actor: Actor | None
                file_id, ticket = request.match_info.get("file_id"), fields.pop("ticket", None)
                if file_id and ticket:
                    actor = await self._authenticator.admit(ticket, file_id)
                else:
                    actor = await self._caller(request, op)
                address = self._address(request)
                user_id, network = actor.id if actor else "", network_of(address)
                async with self._downloads.transfer(user_id, network) as transfer:
                    meta = Meta(address=address, text=True)
                    with transfer.server_works():
                        answer = await run(op, fields, actor, meta)
                    if answer.error:
                        return self.respond(answer)
                    check = self._still_valid(actor)
                    return await downloads.send(request, answer.data, check, transfer)
            except DomainError as refused:
                return self._turn_away(request, op, refused)

        return web.route(hdrs.METH_GET, path, handle)

    def upload(self, path: str, op: Operation, run: RunOperation) -> web.RouteDef:
        """One file as multipart/form-data; `run` refuses it before the body is read."""

        async def handle(request: web.Request) -> web.Response:
            try:
                actor = await self._caller(request, op)
            except DomainError as refused:
                return self._turn_away(request, op, refused)
            assert actor, "an upload belongs to a user"
            receive = partial(self._receive, request, actor)
            meta = Meta(address=self._address(request))
            return self.respond(await run(op, receive, actor, meta))

        return web.route(hdrs.METH_POST, path, handle)

    @contextlib.asynccontextmanager
    async def _receive(self, request: web.Request, actor: Actor) -> AsyncIterator[Received]:
        """Receive a file completely. Raises Unauthenticated if the session ended before that."""
        network = network_of(self._address(request))
        async with self._uploads.receive(request, actor.id, network) as received:
            self._authenticator.check(actor)
            yield received

    def _still_valid(self, actor: Actor | None) -> Callable[[], None]:
        """Raises Unauthenticated when called after the end of the caller's session."""
        return partial(self._authenticator.check, actor) if actor else lambda: None

    async def _caller(self, request: web.Request, op: Operation) -> Actor | None:
        scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if not op.roles:
            return None
        if scheme.lower() != "bearer":
            raise Unauthenticated
        actor, _ = await self._authenticator.identify(token)
        return actor

    def _turn_away(self, request: web.Request, op: Operation, refused: DomainError) -> web.Response:
        """Refuse a request before its operation runs."""
        self._note(refused.code, op.name, "", self._address(request))
        return self.respond(self._refuse(refused))

    def respond(self, answer: Any) -> web.Response:
        if answer.error is None:
            return web.Response(body=msgspec.json.encode(answer.data), content_type=JSON)
        error = answer.error
        body = problem(answer.status, error.code, error.message, error.details)
        later = error.details.get("retry_after")
        headers = {"Retry-After": str(math.ceil(later))} if later else None
        return web.Response(body=body, status=answer.status, content_type=PROBLEM, headers=headers)

    @web.middleware
    async def problems(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what no route takes. Give aiohttp's own errors the form of every other error.

        python-engineio answers its refusals itself, in the form of its protocol.
        """
        try:
            if wait := self._charge(self._address(request)):
                # New connections of an address are limited, too, so that refusing stays cheap.
                response = self.respond(self._refuse(RateLimited(retry_after=rounded(wait))))
                response.force_close()
                return response
            _check_head(request)
            return await handler(request)
        except DomainError as refused:
            return self.respond(self._refuse(refused))
        except web.HTTPException as refused:
            if refused.status < 400:
                raise
            response = self.respond(self._in_our_terms(request, refused))
            if hdrs.ALLOW in refused.headers:
                response.headers[hdrs.ALLOW] = refused.headers[hdrs.ALLOW]
            return response
        except UNREACHABLE:
            return self.respond(self._refuse(Unavailable()))
        except BROKEN_BODY as broken:
            log.warning("malformed body", path=request.path, reason=type(broken).__name__)
            return self.respond(
                self._refuse(Invalid("The body is malformed or incomplete.", rule=Rule.FORMAT))
            )
        except Exception:
            log.exception("request failed", path=request.path)
            return self.respond(self._refuse(InternalError()))

    def _in_our_terms(self, request: web.Request, refused: web.HTTPException) -> Any:
        """The answer for an error of aiohttp, with its status."""
        known: DomainError
        if refused.status == 413:
            known = TooLarge()
        elif request.path.startswith("/api/") or refused.status not in (403, 404):
            known = UnknownCommand(refused.reason)
        else:
            known = NotFound("There is nothing at this address.")
        return msgspec.structs.replace(self._refuse(known), status=refused.status)


def _check_head(request: web.Request) -> None:
    """Raises UnsupportedType, Invalid, HTTPMethodNotAllowed."""
    headers = request.headers
    if hdrs.CONTENT_ENCODING in headers:
        raise UnsupportedType("Bodies are sent as they are, without a Content-Encoding.")
    if headers.get(hdrs.TRANSFER_ENCODING, "chunked").lower() != "chunked":
        raise UnsupportedType("The only Transfer-Encoding is chunked.")
    if request.method not in METHODS:
        unsupported = request.match_info.http_exception
        allowed = getattr(unsupported, "allowed_methods", None) or METHODS
        raise web.HTTPMethodNotAllowed(request.method, allowed)
    if any(name in headers for name in OVERRIDES):
        raise Invalid("The method of a request cannot be overridden.", rule=Rule.UNKNOWN)


def _conditional(
    request: web.Request, op: Operation, data: Any, response: web.Response
) -> web.Response:
    """The response with its tag, or 304 without a body."""
    tag = tag_of(op.name, data, response.body)  # type: ignore[arg-type]
    if is_known(request, tag):
        response = web.Response(status=304)
    if tag:
        response.headers[hdrs.ETAG] = tag
    return response


async def _body(request: web.Request, most: int) -> tuple[dict[str, Any], int]:
    """The fields in at most `most` bytes, and their length. Raises UnsupportedType, TooLarge,
    Invalid.

    A form of another site can send text/plain, but no JSON, without asking this server.
    """
    if not request.can_read_body:
        return {}, 0
    if request.content_type != JSON:
        raise UnsupportedType(f"The body is {JSON}.", found=request.content_type, allowed=[JSON])
    raw = await read_bounded(request.content.iter_any(), request.content_length, most)
    try:
        fields = json_input.decode(raw.decode()) if raw else None
    except UNREADABLE as broken:
        raise Invalid("The body is not valid JSON.", rule=Rule.FORMAT) from broken
    if fields is None:  # many generated clients send null instead of no body
        fields = {}
    if not isinstance(fields, dict):
        raise Invalid("The body must be one JSON object.", rule=Rule.TYPE)
    return fields, len(raw)


def _query(request: web.Request, lists: frozenset[str]) -> dict[str, Any]:
    """Fields from the query: a list repeats its key, an object is JSON."""
    if request.rel_url.raw_query_string.count("&") >= MAX_PARAMETERS:
        raise Invalid(
            f"The query has more than {MAX_PARAMETERS} parameters.",
            rule=Rule.MAX_LENGTH,
            limit=MAX_PARAMETERS,
        )
    fields: dict[str, Any] = {}
    for name in request.query:
        values = request.query.getall(name)
        if name in lists:
            fields[name] = values
        elif len(values) > 1:
            raise Invalid("give this once.", field=name, rule=Rule.TYPE)
        elif values[0].startswith("{"):
            try:
                fields[name] = json_input.decode(values[0])
            except UNREADABLE as broken:
                raise Invalid("this is not valid JSON.", field=name, rule=Rule.FORMAT) from broken
        else:
            fields[name] = values[0]
    return fields


@cache
def _list_fields(command: type[Command]) -> frozenset[str]:
    return frozenset(
        name for name, hint in get_type_hints(command).items() if "tuple[" in str(hint)
    )

"""Requests that no client sends: malformed, packed, endless."""

import asyncio
import contextlib
import logging
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from domain.jobs.posting import Create
from domain.operations.input_size import max_input
from handlers import NAMESPACES
from server.http.protocol import DISCARDED_BYTES
from tests.support.one_server import one_server
from tests.support.polling_client import open_polling_client
from tests.support.raw_http import Reply, ask, bomb, parse, request, send
from tests.support.raw_socket import wait_until

pytestmark = one_server

LOGIN = "/api/account/login"
LAST = "Connection: close"
JSON = "Content-Type: application/json"
MALFORMED = {
    "version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a1030362") + bytes(100),
    "no colon": b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
    "space after a name": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "null": b"GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n",
    "two lengths": request("POST", LOGIN, b"abc", "Content-Length: 4"),
    "length and chunks": request("POST", LOGIN, b"0\r\n\r\n", "Transfer-Encoding: chunked"),
    "negative length": request("POST", LOGIN, b"a", "Content-Length: -1", length=False),
    "length beyond 64 bits": request("POST", LOGIN, b"", f"Content-Length: {10**30}"),
    "other encoding": request("POST", LOGIN, b"0\r\n\r\n", "Transfer-Encoding: x", length=False),
    "long line": request("GET", "/" + "a" * 9000),
    "long header": request("GET", "/", b"", "A: " + "a" * 9000),
    "many headers": request("GET", "/", b"", *["A: b"] * 200),
    "not ASCII": "GET /\u00e9 HTTP/1.1\r\n\r\n".encode("latin-1"),
    "half an address": request("GET", "http://[::1/"),
    "unknown method": request("TRACK", "/"),
}
BAD_CHUNK = request(
    "POST", LOGIN, b"1\r\n{\r\nzz\r\n\r\n", JSON, "Transfer-Encoding: chunked", length=False
)
HARMLESS = {
    "other version of websocket": "Sec-WebSocket-Version: 99\r\nUpgrade: websocket",
    "range": "Range: bytes=zz",
    "time": "If-Modified-Since: Mon, 99 Zed 99999 00:00:00 GMT",
    "cookie": "Cookie: =;;=a; \x7f"[:-1],
    "expectation": "Expect: what",
    "type": "Content-Type: ;;;///",
    "token": "Authorization: Bearer a.b.c",
}
PATHS = ["/%zz", "/%ff%fe", "/static/%00", "/static/../../etc/passwd", "/static/" + "a" * 4000]
VERSIONED = ("aiohttp", "python", "traceback", "site-packages", ".py")


class Log(logging.Handler):
    """What libraries log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record)


@pytest.fixture
def library_log():
    log = Log()
    logging.getLogger().addHandler(log)
    yield log.lines
    logging.getLogger().removeHandler(log)


def check_tells_nothing(answer: bytes) -> Reply:
    reply = parse(answer)
    assert reply.headers["Server"] == "JobSphere"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert [word for word in VERSIONED if word.encode() in answer.lower()] == []
    return reply


async def test_a_malformed_request_costs_one_line(server, library_log):
    """Guard: `Protocol.handle_error`; aiohttp logs a traceback, and answers with its version."""
    for what, data in MALFORMED.items():
        with capture_logs() as logs:
            reply = check_tells_nothing(await send(server.url, data))
        assert reply.headers["Content-Type"] == "application/problem+json"
        assert (reply.status, reply.code) == (400, "invalid"), what
        [line] = logs
        assert line["event"] == "malformed request" and "exc_info" not in line, what
    assert library_log == []


async def test_a_body_that_breaks_off(server, library_log):
    """Guard: `routes.BROKEN_BODY`: it is the client's fault, not a failure."""
    with capture_logs() as logs:
        reply = check_tells_nothing(await send(server.url, BAD_CHUNK))
    assert reply.status in (400, 422)
    assert 1 <= len(logs) <= 2 and all("malformed" in line["event"] for line in logs)
    assert library_log == []


async def test_a_poll_that_breaks_off(server, market, library_log):
    """Guard: UNREADABLE in `connection.handle_post_request`; python-engineio logs a traceback."""
    client = await open_polling_client(market, await market.customer(connect=False))
    path = client.url.removeprefix(market.url)
    there = urlsplit(server.url)
    _, writer = await asyncio.open_connection(there.hostname, there.port)
    with capture_logs() as logs:
        writer.write(request("POST", path, b"40", "Content-Length: 100", length=False))
        await writer.drain()
        writer.close()
        await wait_until(lambda: not server.web.realtime.connection_count)
    assert logs == library_log == []


async def test_odd_requests_are_answered(server, library_log):
    """Guard: `assets.Assets.load`: a long name is an error of a disk."""
    with capture_logs() as logs:
        for line in HARMLESS.values():
            for path in ("/", "/static/css/client.css", "/api/job", "/socket.io/?EIO=4"):
                reply = check_tells_nothing(
                    await send(server.url, request("GET", path, b"", LAST, line))
                )
                assert reply.status < 500, (path, line)
        for path in PATHS:
            reply = check_tells_nothing(await send(server.url, request("GET", path, b"", LAST)))
            assert reply.status == 404, path
    assert [line for line in logs if line["event"] != "refused"] == []
    assert [line for line in library_log if line.exc_info] == []


async def test_methods_that_nothing_has(server):
    """Guard: METHODS in `routes._check_head`."""
    paths = ("/", "/nowhere", "/api/job", "/static/css/client.css", "/socket.io/")
    for method in ("TRACE", "CONNECT", "PUT", "PROPFIND", "LINK"):
        for path in paths:
            target = "test:80" if method == "CONNECT" else path
            reply = check_tells_nothing(await send(server.url, request(method, target, b"", LAST)))
            assert reply.status == 405, (method, path)
            assert method not in reply.headers["Allow"]


async def test_the_method_is_not_overridden(market):
    """Guard: OVERRIDES in `routes._check_head`."""
    customer = await market.customer()
    before = await market.traces()
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        headers = {name: "DELETE"}
        status, problem = await customer.http("POST", "/api/account/sessions", headers=headers)
        assert (status, problem["code"]) == (422, "invalid")
    assert (await market.traces(), customer.connected()) == (before, True)


async def test_a_packed_body_is_refused_on_every_path(server):
    """Guard: `auto_decompress` in `HttpRunner`: a parser that unpacks finds an error in this body,
    400; and CONTENT_ENCODING in `routes._check_head`."""
    routes = [e.route for namespace in NAMESPACES for e in namespace.exposed if e.route]
    targets = {(route.method, route.path) for route in routes} | {
        ("POST", "/webhooks/stripe"),
        ("POST", "/socket.io/?EIO=4&transport=polling&sid=x"),
        ("GET", "/socket.io/?EIO=4&transport=polling"),
        *(
            ("GET", path)
            for path in ("/", "/admin", "/docs", "/static/css/client.css", "/livez", "/nowhere")
        ),
    }
    for encoding in ("gzip", "deflate", "br", "zstd", "identity", "gzip, gzip"):
        header = f"Content-Encoding: {encoding}"
        answers = [
            await ask(server.url, request(method, path, b"not packed", JSON, header, LAST))
            for method, path in targets
        ]
        found = {(answer.status, answer.code) for answer in answers}
        assert found == {(415, "unsupported_type")}, encoding


async def test_bombs_are_not_unpacked(server):
    """Guard: `auto_decompress` in `HttpRunner`, with real bombs, also in chunks."""
    data = bomb()
    chunks = f"{len(data):x}\r\n".encode() + data + b"\r\n0\r\n\r\n"
    packed = ("Content-Encoding: gzip", LAST)
    in_chunks = request("POST", LOGIN, chunks, *packed, "Transfer-Encoding: chunked", length=False)
    answers = await asyncio.gather(
        *(ask(server.url, request("POST", path, data, *packed)) for path in (LOGIN, "/nowhere")),
        ask(server.url, in_chunks),
        ask(
            server.url,
            request("POST", LOGIN, chunks, "Transfer-Encoding: gzip, chunked", LAST, length=False),
        ),
    )
    assert [answer.status for answer in answers] == [415] * 4


@pytest.mark.parametrize(
    ("path", "status"),
    [(LOGIN, 413), ("/api/job", 401), ("/nowhere", 404), ("/webhooks/stripe", 413), ("/", 405)],
)
async def test_the_rest_of_a_refused_body_is_not_read(server, path, status):
    """Guard: `Protocol.finish_response`; aiohttp reads on for ten seconds, at any speed."""
    there, sent = urlsplit(server.url), 0
    reader, writer = await asyncio.open_connection(there.hostname, there.port)
    writer.write(request("POST", path, b"", JSON, f"Content-Length: {10**12}"))
    reply = parse(await reader.readuntil(b"\r\n\r\n"))
    assert (reply.status, reply.headers["Connection"]) == (status, "close")
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(20):
            while not reader.at_eof():
                writer.write(bytes(65536))
                await writer.drain()
                sent += 65536
                await asyncio.sleep(0)
    assert DISCARDED_BYTES // 2 < sent < 64 * DISCARDED_BYTES
    writer.transport.abort()


async def test_a_refusal_reaches_a_client_that_sends_on(market):
    """Guard: `Protocol._discard`; a close with unread data resets the connection."""
    async with market.web.post(market.url + "/api/job", data=bytes(900_000)) as response:
        assert (response.status, response.headers["Connection"]) == (401, "close")


async def test_the_rest_of_a_body_is_not_awaited_from_a_closed_connection(server, monkeypatch):
    """Guard: `Protocol.connection_lost`."""
    monkeypatch.setattr("server.http.protocol.DISCARD_SECONDS", 60)
    there = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(there.hostname, there.port)
    writer.write(request("POST", "/api/job", b"", JSON, "Content-Length: 9"))
    assert parse(await reader.readuntil(b"\r\n\r\n")).status == 401

    def handled() -> list[str]:
        coroutines = [task.get_coro() for task in asyncio.all_tasks()]
        return [each.__qualname__ for each in coroutines if "_handle_request" in each.__qualname__]

    assert len(handled()) == 1
    writer.transport.abort()
    await wait_until(lambda: not handled())


async def test_a_complete_body_keeps_the_connection(server):
    """Guard: `unread` in `Protocol.finish_response`; a refused sign-in costs no new connection."""
    first = request("POST", LOGIN, b"{}", JSON)
    answer = await send(server.url, first + request("GET", "/livez", b"", LAST))
    assert (answer.count(b"HTTP/1.1 422"), answer.count(b"HTTP/1.1 200")) == (1, 1)


async def test_bodies_are_bounded_before_they_are_kept(market):
    """Guard: `most` in `routes._body`, for chunks and for a stated length."""
    customer, most = await market.customer(), max_input(Create)
    headers = {"Content-Type": "application/json"}

    async def chunks():
        for _ in range(most // 1024 + 1):
            yield b" " * 1024

    for body in (chunks(), b" " * (most + 1)):
        status, problem = await customer.http("POST", "/api/job", data=body, headers=headers)
        assert (status, problem["code"]) == (413, "too_large")

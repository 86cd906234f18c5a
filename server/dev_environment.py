"""The environment of the running dev server, published in DATA_DIR for commands in a second
terminal."""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

FILE = "running.json"
STORES = ("MONGO_URL", "REDIS_URL", "STRIPE_API_BASE", "STRIPE_SECRET_KEY")
LOOPBACK, EVERYWHERE = "127.0.0.1", ("0.0.0.0", "::")


class RecordingEnvironment(dict[str, str]):
    """Variables that record which of them were read, so that no others are published."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(variables)
        self.read: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)

    @property
    def used(self) -> dict[str, str]:
        return {name: self[name] for name in sorted(self.read & self.keys())}


@contextlib.contextmanager
def published(data_dir: Path, variables: Mapping[str, str]) -> Iterator[None]:
    """Keep `variables` in a file, readable by its owner only, while the block runs.

    The file is locked while the server runs; the file of a killed server is not locked, and is
    ignored."""
    draft = data_dir / f"{FILE}.new"
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(msgspec.json.format(msgspec.json.encode(variables), indent=2))
        file.flush()
        draft.replace(data_dir / FILE)
        try:
            yield
        finally:
            (data_dir / FILE).unlink(missing_ok=True)


def beside_dev(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ`, completed by the variables of the dev server that runs on its DATA_DIR.

    Unchanged when none runs there, or when `environ` names another store: the two never mix.
    """
    given = {name: value for name, value in environ.items() if value.strip()}
    running = _read(Path(given.get("DATA_DIR", ".data")) / FILE)
    if any(name in given and given[name] != running.get(name) for name in STORES):
        return given
    return running | given


def url_beside_dev(environ: Mapping[str, str]) -> str:
    """The URL of the dev server, as seen from this machine."""
    env = beside_dev(environ)
    host = env.get("HOST", LOOPBACK)
    return f"http://{LOOPBACK if host in EVERYWHERE else host}:{env.get('PORT', '8080')}"


def _read(path: Path) -> dict[str, str]:
    """Empty unless a server holds the lock."""
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return msgspec.json.decode(file.read(), type=dict[str, str])
    except FileNotFoundError:
        pass
    return {}

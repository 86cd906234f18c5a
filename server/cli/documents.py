"""Writes the documents of the API into files, for generators of clients and for reading."""

from pathlib import Path

import msgspec

from server.app import documents
from server.rate_limits import RateTable

LOCAL = "http://localhost:8080"  # where `server dev` listens


def write(folder: Path, public_url: str) -> list[Path]:
    """Returns the paths of the files. They tell the rate limits of an unchanged configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, make in documents(RateTable(), public_url or LOCAL).items():
        path = folder / f"{name}.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(make())) + b"\n")
        written.append(path)
    return written

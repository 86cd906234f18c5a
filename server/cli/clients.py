"""Writes what is made of the documents for the clients: their commands, pushes and types."""

from pathlib import Path

from server.app import STATIC, client_files

CLIENTS = STATIC / "client"


def write(folder: Path = CLIENTS) -> list[Path]:
    """Returns the paths of the files."""
    written = []
    for name, text in client_files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        written.append(path)
    return written

"""Keeps secrets out of logs and errors, also those that libraries repeat in their messages."""

import re
from collections.abc import Iterable
from typing import Any, TextIO, cast
from urllib.parse import parse_qsl, unquote, urlsplit

SHOWN = "***"
SHORTEST = 6  # a shorter text would also be found where it is no secret
CREDENTIALS = re.compile(r"://[^\s/@]+@")


class Redacted:
    """A stream that replaces secrets in what is written to it."""

    def __init__(self, stream: TextIO, secrets: Iterable[str]) -> None:
        self._stream = stream
        self._secrets: re.Pattern[str] | None = None
        self._known: set[str] = set()
        self.hide(secrets)

    def hide(self, secrets: Iterable[str]) -> None:
        self._known |= {secret for secret in secrets if len(secret) >= SHORTEST}
        longest_first = sorted(self._known, key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, longest_first)))

    def write(self, text: str) -> int:
        if self._known and self._secrets:
            text = self._secrets.sub(SHOWN, text)
        if "://" in text:
            text = CREDENTIALS.sub(f"://{SHOWN}@", text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def redacted(stream: TextIO, secrets: Iterable[str]) -> TextIO:
    """The stream without these secrets, in addition to those that it hides already."""
    if isinstance(stream, Redacted):
        stream.hide(secrets)
        return stream
    return cast(TextIO, Redacted(stream, secrets))


def secrets_of_url(url: str) -> list[str]:
    """The password of a URL, as it is written and as it is meant."""
    parts = urlsplit(url)
    password = parts.netloc.rpartition("@")[0].partition(":")[2]
    named = [value for name, value in parse_qsl(parts.query) if "pass" in name.lower()]
    return [secret for secret in (password, unquote(password), *named) if secret]

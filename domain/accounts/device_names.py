"""A short plain name for a device, from what the client says about itself.

Decision: a table of the usual browsers and systems, and not a library. The libraries that parse
user agents carry thousands of patterns, which need updates, for details that a list of one's own
sessions does not show. What is not in the table is named by its first word.
"""

import regex  # type: ignore[import-untyped]

from domain.kernel.text_rules import shorten

MAX_NAME = 60
UNKNOWN = "Unknown device"
_NO_WORD = regex.compile(r"[^\p{L}\p{M}\p{N}\u200c\u200d_'()-]")

# In this order, because browsers name those that they are compatible with, too.
BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def device_name(given: str | None, agent: str) -> str:
    """The name that the client gives, or one made of its `User-Agent`, such as "Firefox on
    Windows"."""
    if given and (name := _plain(given)):
        return name
    browser, system = _first(BROWSERS, agent), _first(SYSTEMS, agent)
    if browser and system:
        return f"{browser} on {system}"
    program = _plain(agent.split(" ")[0].partition("/")[0])
    return browser or system or program or UNKNOWN


def _first(table: tuple[tuple[str, str], ...], agent: str) -> str:
    return next((name for mark, name in table if mark in agent), "")


def _plain(text: str) -> str:
    """Words only: the name is mailed, and a thief of the password could put a link into it."""
    words = _NO_WORD.sub(" ", text)
    return shorten(" ".join(words.split()), MAX_NAME).rstrip()

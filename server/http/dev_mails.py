"""`/dev/mails` of a dev server: the mails that it would have sent, with their links and codes.

A reader of them can sign in as their recipients. So the page answers only a client on this
machine that asks for it by a name of this machine: a proxy's visitors and a foreign page whose name
leads here (DNS rebinding) get 404.
"""

import html
import re
from collections.abc import Iterable
from typing import Protocol
from urllib.parse import urlsplit

import msgspec
from aiohttp import hdrs, web

NAMES = {"localhost", "127.0.0.1", "::1"}
FORWARDED = (hdrs.X_FORWARDED_FOR, hdrs.FORWARDED, "X-Real-IP")
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Mails</title>
<link rel="stylesheet" href="/static/css/shared.css"></head>
<body><main class="view stack"><h1>Mails</h1>
<p>This server sends no mails. These are the last ones, newest first.</p>
{mails}</main></body></html>
"""
MAIL = "<article class=card><h2>{subject}</h2><p>{at} to {to}</p><pre>{text}</pre></article>\n"


class _Mail(Protocol):
    @property
    def at(self) -> object: ...
    @property
    def to(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def text(self) -> str: ...


def mails_route(mails: Iterable[_Mail]) -> web.RouteDef:
    """A page for browsers, JSON for programs."""

    async def show(request: web.Request) -> web.Response:
        if not _is_local(request):
            raise web.HTTPNotFound
        headers = {hdrs.CACHE_CONTROL: "no-store", "Referrer-Policy": "no-referrer"}
        if "text/html" in request.headers.get(hdrs.ACCEPT, ""):
            text = PAGE.format(mails="".join(map(_shown, mails)))
            return web.Response(text=text, content_type="text/html", headers=headers)
        body = msgspec.json.encode({"items": list(mails)})
        return web.Response(body=body, content_type="application/json", headers=headers)

    return web.get("/dev/mails", show)


def _is_local(request: web.Request) -> bool:
    forwarded = any(name in request.headers for name in FORWARDED)
    host = urlsplit(f"//{request.host}").hostname
    return request.remote in NAMES and host in NAMES and not forwarded


def _shown(mail: _Mail) -> str:
    text = html.escape(mail.text)
    text = re.sub(r"https?://[^\s<]+", r'<a href="\g<0>">\g<0></a>', text)
    return MAIL.format(
        subject=html.escape(mail.subject),
        at=html.escape(str(mail.at)),
        to=html.escape(mail.to),
        text=text,
    )

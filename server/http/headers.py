"""Security headers of every response, and security.txt.

Source: OWASP Secure Headers Project; CSP 3; RFC 6797 (HSTS); RFC 9116 (security.txt).
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta

from aiohttp import hdrs, web

from server.http.assets import LOADED
from server.http.pages import CSP, page_of
from server.http.protocol import SERVER

HSTS = "Strict-Transport-Security"
HSTS_LIFE = timedelta(days=365)
SECURITY_TXT = "/.well-known/security.txt"
SECURITY_TXT_LIFE = timedelta(days=180)  # RFC 9116 recommends less than a year
TEXT = re.compile(r"text/.*|.*\+xml")  # all our texts, and all that users upload, are UTF-8
# Of what is no page. `default-src` covers neither the base, nor forms, nor frames around it.
NOTHING = (
    "default-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
SELF = "'self'"
# What Stripe.js needs, where pages load it: https://docs.stripe.com/security/guide
STRIPE = {
    "script-src": "https://js.stripe.com https://*.js.stripe.com",
    "frame-src": "https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com",
    "connect-src": "https://api.stripe.com",
}
# What a page may ask the browser for: passkeys, the position for searches near it, and payments by
# the wallets that Stripe.js offers.
FEATURES = {
    **dict.fromkeys(
        (
            "accelerometer",
            "autoplay",
            "camera",
            "display-capture",
            "gyroscope",
            "magnetometer",
            "microphone",
            "midi",
            "screen-wake-lock",
            "usb",
            "xr-spatial-tracking",
        ),
        "()",
    ),
    "geolocation": "(self)",
    "publickey-credentials-create": "(self)",
    "publickey-credentials-get": "(self)",
}

Hook = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


def security_headers(public_url: str, stripe: bool = False) -> Hook:
    """A hook that completes the headers of a response. A handler's own values stay. `stripe` tells
    whether pages load Stripe.js."""
    everywhere = {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if public_url.startswith("https://"):
        seconds = round(HSTS_LIFE.total_seconds())
        everywhere[HSTS] = f"max-age={seconds}; includeSubDomains"
    of_pages = everywhere | _page_headers(public_url, stripe)
    # What pages load takes part in their policy, and needs none that lets it do anything.
    of_files = everywhere | {CSP: NOTHING, hdrs.CACHE_CONTROL: "no-cache"}
    of_answers = everywhere | {
        CSP: NOTHING,
        hdrs.CACHE_CONTROL: "no-store",
    }

    async def complete(request: web.Request, response: web.StreamResponse) -> None:
        if page_of(request.path):
            _complete(response, of_pages)
        else:
            loaded = request.path.startswith(LOADED)
            _complete(response, of_files if loaded else of_answers)
        if response.charset is None and TEXT.fullmatch(response.content_type):
            response.charset = "utf-8"
        response.headers[hdrs.SERVER] = SERVER

    return complete


def _complete(response: web.StreamResponse, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if name not in response.headers:
            response.headers[name] = value


def _page_headers(public_url: str, stripe: bool) -> dict[str, str]:
    """Browsers revalidate what has no versioned address."""
    features = {**FEATURES, "payment": '(self "https://js.stripe.com")' if stripe else "()"}
    return {
        CSP: page_policy(public_url, stripe, []),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": ", ".join(f"{name}={value}" for name, value in features.items()),
        hdrs.CACHE_CONTROL: "no-cache",
    }


def page_policy(public_url: str, stripe: bool, scripts: list[str]) -> str:
    """The content security policy of a page with these inline scripts, by their hashes."""
    policy = {
        "default-src": SELF,
        # Not every browser counts the page's own websockets to 'self'.
        "connect-src": f"'self' {public_url.replace('http', 'ws', 1)}",
        "style-src": SELF,
        "img-src": "'self' data:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": SELF,
        "frame-ancestors": "'none'",
    }
    if scripts:
        policy["script-src"] = " ".join(["'self'", *scripts])
    if stripe:
        for name, hosts in STRIPE.items():
            policy[name] = f"{policy.get(name, SELF)} {hosts}"
    return "; ".join(f"{name} {value}" for name, value in policy.items())


def security_txt(public_url: str, contact: str, now: Callable[[], datetime]) -> web.RouteDef:
    """Where to report a vulnerability. The date until which this is valid moves with the time."""

    async def show(request: web.Request) -> web.Response:
        expires = (now() + SECURITY_TXT_LIFE).replace(hour=0, minute=0, second=0, microsecond=0)
        lines = (
            f"Contact: {contact}",
            f"Expires: {expires:%Y-%m-%dT%H:%M:%SZ}",
            "Preferred-Languages: en",
            f"Canonical: {public_url}{SECURITY_TXT}",
            "",
        )
        return web.Response(text="\n".join(lines))

    return web.get(SECURITY_TXT, show)

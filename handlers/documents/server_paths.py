"""The paths of the server itself, which are no operations: health, facts, documents, webhooks."""

from typing import Annotated, Any

import msgspec

from domain.kernel.errors import (
    DomainError,
    InternalError,
    Invalid,
    InvalidSignature,
    RateLimited,
    TooLarge,
    Unavailable,
    UnsupportedType,
)
from domain.kernel.fields import about
from handlers.documents.meta_answer import Facts


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    alive: Annotated[bool, about("Always true.")]


class Ready(msgspec.Struct, frozen=True):
    """Whether this process should get traffic, and what is wrong with it."""

    ready: Annotated[bool, about("Whether a load balancer should send requests here.")]
    redis: Annotated[bool, about("Whether Redis can be used. Payments work without it.")]
    reasons: Annotated[dict[str, str], about("What is wrong, by the name of the check.")]


class ReceivedEvent(msgspec.Struct, frozen=True):
    """The event is stored."""

    received: Annotated[bool, about("Always true.")]
    fresh: Annotated[bool, about("Whether it came for the first time.")]


Document = Annotated[dict[str, Any], about("The document.")]


class ServerPath(msgspec.Struct, frozen=True):
    """One route. Without an `example` one is made from its schema.

    `cached` answers have an ETag and may be kept for some minutes.
    """

    method: str
    path: str
    name: str
    summary: str
    answer: Any
    example: Any
    errors: tuple[type[DomainError], ...] = (UnsupportedType, RateLimited)
    cached: bool = False
    unready: bool = False  # 503 has the same body as 200
    body: bool = False
    description: str = ""


READY = {"ready": True, "redis": True, "reasons": {}}
UNREADY = {"ready": False, "redis": True, "reasons": {"database": "no write for 20 s"}}
SERVER_PATHS = (
    ServerPath("GET", "/livez", "livez", "Whether the process is alive", Alive, {"alive": True}),
    ServerPath(
        "GET",
        "/readyz",
        "readyz",
        "Whether the process should get traffic",
        Ready,
        READY,
        unready=True,
    ),
    ServerPath(
        "GET",
        "/api/meta",
        "meta",
        "What this server enforces: limits, money, countries, files and rates",
        Facts,
        None,
        cached=True,
    ),
    ServerPath(
        "GET",
        "/api/openapi.json",
        "openapi",
        "This document: HTTP",
        Document,
        {"openapi": "3.1.0"},
        cached=True,
    ),
    ServerPath(
        "GET",
        "/api/asyncapi.json",
        "asyncapi",
        "The document of the sockets",
        Document,
        {"asyncapi": "3.0.0"},
        cached=True,
    ),
    ServerPath(
        "POST",
        "/webhooks/stripe",
        "stripe.webhook",
        "Take an event of Stripe",
        ReceivedEvent,
        {"received": True, "fresh": True},
        errors=(
            InternalError,
            Invalid,
            InvalidSignature,
            RateLimited,
            TooLarge,
            Unavailable,
            UnsupportedType,
        ),
        body=True,
        description="For Stripe only.",
    ),
)

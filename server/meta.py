"""What `GET /api/meta` answers about the server itself: Stripe, sockets, requests and rates."""

from collections.abc import Iterable
from typing import Any

from domain.operations.operation import Operation
from server.config import Settings
from server.http.routes import DOWNLOADS_OF_USER, MAX_BODY, MAX_PARAMETERS
from server.http.uploads import UPLOADS_OF_USER
from server.operation_calls import REQUEST_ID
from server.rate_limits import RateTable
from server.realtime.command_table import MAX_COMMAND
from server.realtime.engine import JOIN_SECONDS, PING_INTERVAL, PING_TIMEOUT
from server.realtime.server import ROOMS_PER_CONNECTION


def server_meta(
    settings: Settings, rates: RateTable, operations: Iterable[Operation], head_seconds: float
) -> dict[str, Any]:
    """Sizes are in bytes, those of commands in characters."""
    return {
        "payments": {
            "stripe_publishable_key": settings.stripe_publishable_key,
            "methods": list(settings.payment_methods),
            "sandbox": settings.stripe_api_base is not None,
        },
        "realtime": {
            "ping_interval_seconds": PING_INTERVAL,
            "ping_timeout_seconds": PING_TIMEOUT,
            "head_seconds": head_seconds,
            "first_namespace_seconds": JOIN_SECONDS,
            "max_command_characters": MAX_COMMAND,
            "max_connections_per_user": settings.sockets_per_user,
            "max_rooms_per_connection": ROOMS_PER_CONNECTION,
        },
        "requests": {
            "max_body_bytes": MAX_BODY,
            "max_query_parameters": MAX_PARAMETERS,
            "max_request_id_characters": REQUEST_ID,
            "max_uploads_at_once": UPLOADS_OF_USER,
            "max_downloads_at_once": DOWNLOADS_OF_USER,
        },
        "rates": rates.described(operations),
    }

"""The connections to Stripe."""

import pytest
from aiohttp import web
from stripe import StripeError

from server.adapters.stripe_connections import connect
from tests.support.processes import free_port


async def test_no_redirect_is_followed() -> None:
    """Guard: `Connections`, which is used by `stripe_connections.connect`."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    app, port = web.Application(), free_port()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    client, connections = connect("sk_test_redirects", f"http://127.0.0.1:{port}")
    try:
        with pytest.raises(StripeError):
            await client.v1.customers.create_async({"email": "nia@example.com"})
    finally:
        await connections.close_async()
        await runner.cleanup()
    assert asked == ["/v1/customers"]

"""The sandbox process: python -m server.dev.stripe_sandbox --port 12111 --data .data/stripe."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import time
from pathlib import Path

import uvloop
from aiohttp import web

from server.dev.stripe_sandbox import access, timers
from server.dev.stripe_sandbox.api_server import ApiServer
from server.dev.stripe_sandbox.control_api import ControlApi
from server.dev.stripe_sandbox.fault_injection import Delays
from server.dev.stripe_sandbox.hosted_pages import HostedPages
from server.dev.stripe_sandbox.store import Store
from server.dev.stripe_sandbox.wake import Wake, wait_until
from server.dev.stripe_sandbox.webhook_sender import WebhookSender
from server.http.protocol import HttpRunner

TIMER_SECONDS = 0.1  # at least, between two looks at the timers
CONTROL_KEY = "SANDBOX_CONTROL_KEY"  # the environment variable
log = logging.getLogger("sandbox")


async def _run_timers(store: Store, wake: Wake) -> None:
    """Run the due timers of every tenant, also of those that send no requests."""
    while True:
        await asyncio.sleep(TIMER_SECONDS)
        try:
            if timers.run_due_of_all_tenants(store):
                wake.webhooks.set()
        except Exception:
            log.exception("timers failed")
        await wait_until(wake.timers, timers.next_due(store), time.time() + TIMER_SECONDS)


def build_application(
    store: Store, log_limit: int, wake: Wake, control_key: str
) -> web.Application:
    """The web application with the control API, the hosted pages and Stripe's API."""
    app = web.Application(client_max_size=6 * 1024**2, middlewares=[access.guard(control_key)])
    delays = Delays()
    control = ControlApi(store, log_limit, wake, delays)
    app.router.add_route("*", "/_sandbox/{name}", control.handle)
    app.router.add_routes(HostedPages(store, wake).routes())
    api = ApiServer(store, log_limit, wake, delays)
    app.router.add_route("*", "/v1/{tail:.*}", api.handle)
    app.router.add_route("*", "/v2/{tail:.*}", api.handle)
    return app


async def serve(host: str, port: int, data: Path, log_limit: int, control_key: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    store, wake, stop = Store(data), Wake(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = HttpRunner(build_application(store, log_limit, wake, control_key), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    print(f"Stripe sandbox on http://{host}:{port}", flush=True)
    tasks = [
        asyncio.create_task(_run_timers(store, wake)),
        asyncio.create_task(WebhookSender(store, wake).run()),
    ]
    await stop.wait()
    await runner.cleanup()
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    store.close()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m server.dev.stripe_sandbox", description=__doc__
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--log-limit", type=int, default=1000)
    args = parser.parse_args()
    if not access.is_loopback(args.host):
        parser.error("--host must be a loopback address: everybody who reaches it may use it")
    control_key = os.environ.get(CONTROL_KEY, "")
    if not control_key:
        parser.error(f"{CONTROL_KEY} is required: set it to a random text")
    uvloop.run(serve(args.host, args.port, args.data, args.log_limit, control_key))


if __name__ == "__main__":
    main()

"""Who may reach the sandbox, and whom it reaches."""

import asyncio
import random
import subprocess
import sys
from typing import Any

import pytest

from server.dev.stripe_sandbox import access
from server.dev.stripe_sandbox.store import Store, new_digits, new_id
from tests.server.dev.sandbox.conftest import CONTROL_KEY, ROOT, Shop

MODULE = "server.dev.stripe_sandbox"
PAGE = "http://shop.test:8080"


async def test_a_publishable_key_is_registered_and_not_derived(sandbox_shop: Shop) -> None:
    """Guard: `access.secret_key_of` in `read_api_key`."""
    derived = {"Authorization": f"Bearer pk{sandbox_shop.key[2:]}"}
    url = f"{sandbox_shop.url}/v1/payment_intents/pi_1"
    async with sandbox_shop.http.get(url, headers=derived) as response:
        assert response.status == 401


def test_ids_are_not_repeated() -> None:
    """Guard: RANDOM in `store.new_id`. Hypothesis seeds the generator of the process for each
    example, and charges of two of them had the same id."""
    ids = []
    for _ in range(2):
        random.seed(0)
        ids.append((new_id("ch_"), new_digits(12)))
    assert ids[0] != ids[1]


async def test_only_registered_pages_may_read_answers(sandbox_shop: Shop) -> None:
    """Guard: `access.cors_headers`."""
    await sandbox_shop.control("POST", "grants", {"origins": [PAGE]})
    url = f"{sandbox_shop.url}/v1/payment_intents"
    for method in ("OPTIONS", "GET"):
        for origin, allowed in ((PAGE, PAGE), ("http://evil.test", None), ("null", None)):
            async with sandbox_shop.http.request(
                method, url, headers={"Origin": origin}
            ) as response:
                assert response.headers.get("Access-Control-Allow-Origin") == allowed


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Sandbox-Control-Key": "guessed"}, 401),
        ({"Sandbox-Control-Key": CONTROL_KEY, "Origin": "http://evil.test"}, 403),
        ({"Sandbox-Control-Key": CONTROL_KEY, "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sandbox-Control-Key": CONTROL_KEY, "Host": "rebound.test"}, 403),
        ({"Sandbox-Control-Key": CONTROL_KEY}, 200),
    ],
)
async def test_control_needs_its_own_key_and_no_browser(
    headers: dict[str, str], status: int, sandbox_shop: Shop
) -> None:
    """Guard: `access.guard`; with the secret key alone one controls nothing."""
    url = f"{sandbox_shop.url}/_sandbox/clock"
    given = {"Authorization": f"Bearer {sandbox_shop.key}", **headers}
    async with sandbox_shop.http.get(url, headers=given) as response:
        assert response.status == status


@pytest.mark.parametrize("url", ["http://192.0.2.1/hook", "http://[2001:db8::1]/", "https:///x"])
async def test_webhooks_to_other_machines_are_refused(url: str, sandbox_shop: Shop) -> None:
    """Guard: `access.may_send_to` in `webhook_endpoints.check_url`."""
    with pytest.raises(Exception, match="Invalid URL"):
        await sandbox_shop.v1.webhook_endpoints.create_async({"url": url, "enabled_events": ["*"]})


async def test_names_of_other_machines_do_not_resolve(tmp_path: Any) -> None:
    """Guard: `LoopbackResolver`, which checks the address that is connected to."""
    store = Store(tmp_path)
    resolver = access.LoopbackResolver(store)
    assert {each["host"] for each in await resolver.resolve("localhost", 1)} <= {"127.0.0.1", "::1"}
    async with asyncio.timeout(20):
        with pytest.raises(OSError, match=r"not on this machine|not known|failure"):
            await resolver.resolve("192.0.2.1", 1)
    store.db.execute("INSERT INTO grants VALUES ('host', '192.0.2.1', 'sk_test_1')")
    assert [each["host"] for each in await resolver.resolve("192.0.2.1", 1)] == ["192.0.2.1"]
    store.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--host", "0.0.0.0"], "loopback address"), ([], "SANDBOX_CONTROL_KEY is required")],
)
def test_it_does_not_start_open_to_all(arguments: list[str], said: str, tmp_path: Any) -> None:
    """Fails without the checks in `main` of the sandbox."""
    started = subprocess.run(
        [sys.executable, "-m", MODULE, "--port", "1", "--data", str(tmp_path), *arguments],
        cwd=ROOT,
        env={},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert started.returncode == 2
    assert said in started.stderr

"""`server dev`: the web process with embedded stores, own secrets, webhooks, demo accounts."""

import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import msgspec
from aiohttp import ClientSession
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from domain.accounts.user import User, create_user
from domain.ports.ports import Ports
from server import dev_environment, log_setup
from server.adapters import stripe_connections
from server.adapters.webhook_events import CONNECTED_EVENTS, PLATFORM_EVENTS, THIN_EVENTS
from server.app import listening
from server.config import Settings, load
from server.demo_accounts import DEMO_ACCOUNTS, DEMO_EMAILS, DEMO_PASSWORD
from server.dev import sandbox_settings, secrets
from server.dev.private_folder import keep_private
from server.dev.store_kinds import CONTROL_KEY
from server.dev.stores import Addresses, embedded

VARIABLES = {"mongo": "MONGO_URL", "redis": "REDIS_URL", "stripe": "STRIPE_API_BASE"}
# Placeholders until the stores run, to check the other variables before they are started.
PLACEHOLDERS = {
    "MONGO_URL": "mongodb://127.0.0.1",
    "REDIS_URL": "redis://127.0.0.1",
    "STRIPE_SECRET_KEY": "sk_test_none",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_none",
    "STRIPE_WEBHOOK_SECRETS": "whsec_none",
    "JWT_KEYS": "none:" + base64.b64encode(hashlib.sha256(b"placeholder").digest()).decode(),
    "AUDIT_KEY": "none:" + base64.b64encode(hashlib.sha256(b"placeholder").digest()).decode(),
    "FIELD_KEYS": "none:" + base64.b64encode(hashlib.sha256(b"placeholder").digest()).decode(),
}
LOOPBACK = "127.0.0.1"


class Stage(NamedTuple):
    """The running stores, and the settings of a server on them."""

    settings: Settings
    addresses: Addresses


async def run(environ: Mapping[str, str]) -> None:
    """Serve until cancelled. Raises ConfigError, EmbeddedError or CannotServe."""
    async with stage(environ) as (settings, addresses):
        async with listening(settings, prepare=create_demo_accounts):
            _welcome(settings, addresses)
            await addresses.first_death()


@contextlib.asynccontextmanager
async def stage(environ: Mapping[str, str]) -> AsyncIterator[Stage]:
    """Run the stores, publish the environment, and register with the sandbox. Raises ConfigError
    or EmbeddedError."""
    given = {name: value for name, value in environ.items() if value.strip()}
    stores = [name for name, variable in VARIABLES.items() if variable not in given]
    if "stripe" in stores and "STRIPE_SECRET_KEY" in given:
        stores.remove("stripe")  # a key without STRIPE_API_BASE belongs to Stripe itself
    own_stripe = "stripe" in stores
    placeholders = PLACEHOLDERS if own_stripe else _without_stripe(PLACEHOLDERS)
    checked = load(_defaults(given) | placeholders | given)
    behavior = sandbox_settings.chosen(given)
    log_setup.configure(checked.log_level)
    keep_private(checked.data_dir)
    async with embedded(checked.data_dir, stores, supervised=True) as addresses:
        made = secrets.load(checked.data_dir)
        if own_stripe:
            assert addresses.stripe_api_base
            await _prepare_sandbox(checked, made, addresses, behavior)
            made = await _register_webhooks(checked, made, addresses.stripe_api_base)
        found = made.environment() if own_stripe else _without_stripe(made.environment())
        env = dev_environment.RecordingEnvironment(
            _defaults(given) | found | _variables(addresses) | given
        )
        settings = msgspec.structs.replace(load(env), demo=True)
        hidden = (*settings.secrets, addresses.control_key)
        log_setup.configure(settings.log_level, filter(None, hidden))
        control = {CONTROL_KEY: addresses.control_key} if own_stripe else {}
        with dev_environment.published(settings.data_dir, env.used | control):
            yield Stage(settings, addresses)


def drain_seconds(environ: Mapping[str, str]) -> int:
    """Raises ConfigError."""
    given = {name: value for name, value in environ.items() if value.strip()}
    return load(PLACEHOLDERS | _defaults(given) | given).drain_seconds


def _defaults(given: Mapping[str, str]) -> dict[str, str]:
    """Defaults for development: several currencies, both names of this machine, a short drain, and
    no demands that a program which plays a story would have to meet."""
    port = given.get("PORT", "8080").strip()
    return {
        "CURRENCY": "USD,EUR,JPY,KWD",
        "PAYMENT_METHODS": "card,link,crypto,us_bank_account",
        "DRAIN_SECONDS": "1",
        "REQUIRE_SECOND_FACTOR": "off",
        "REQUIRE_VERIFICATION": "off",
        "ADMIN_APPROVAL_AMOUNT": "0",
        "CORS_ORIGINS": ",".join(
            filter(
                None,
                [given.get("PUBLIC_URL"), f"http://localhost:{port}", f"http://{LOOPBACK}:{port}"],
            )
        ),
    }


def _without_stripe(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if not name.startswith("STRIPE_")}


def _variables(addresses: Addresses) -> dict[str, str]:
    found = {
        "MONGO_URL": addresses.mongo_url,
        "REDIS_URL": addresses.redis_url,
        "STRIPE_API_BASE": addresses.stripe_api_base,
    }
    return {name: value for name, value in found.items() if value}


# -- the sandbox -----------------------------------------------------------------------------


async def _prepare_sandbox(
    settings: Settings,
    made: secrets.Secrets,
    addresses: Addresses,
    behavior: Mapping[str, int],
) -> None:
    """Register our publishable key, our pages and our host with the sandbox, and choose how it
    behaves."""
    grants = {
        "publishable_keys": [made.publishable_key],
        "origins": settings.cors_origins,
        "webhook_hosts": [_webhook_host(settings)],
    }
    headers = {
        "Authorization": f"Bearer {made.stripe_key}",
        "Sandbox-Control-Key": addresses.control_key,
    }
    url = f"{addresses.stripe_api_base}/_sandbox"
    async with ClientSession(raise_for_status=True) as http:
        await http.post(f"{url}/grants", json=grants, headers=headers)
        await http.post(f"{url}/settings", json=behavior, headers=headers)


def _webhook_host(settings: Settings) -> str:
    """Where the sandbox reaches this server."""
    return LOOPBACK if settings.host in ("0.0.0.0", "::", "localhost") else settings.host


async def _register_webhooks(
    settings: Settings, made: secrets.Secrets, api_base: str
) -> secrets.Secrets:
    """Point the sandbox's endpoints (the platform's, the connected accounts', that of thin events)
    at this server.

    They are created once and then only get a new URL: deleting one would drop its pending events.
    Stripe shows a secret only once, so endpoints whose secrets are lost are disabled.
    """
    url = f"http://{_webhook_host(settings)}:{settings.port}/webhooks/stripe"
    http: Any
    client, http = stripe_connections.connect(made.environment()["STRIPE_SECRET_KEY"], api_base)
    endpoints = client.v1.webhook_endpoints
    try:
        listed = await endpoints.list_async({"limit": 100})
        known = [endpoint for endpoint in listed.data if endpoint.status == "enabled"]
        thin = await _thin_destinations(client)
        if (len(known), len(thin), len(made.webhook_secrets)) == (2, 1, 3):
            for endpoint in known:
                if endpoint.url != url:
                    await endpoints.update_async(endpoint.id, {"url": url})
            await client.v2.core.event_destinations.update_async(
                thin[0].id, {"webhook_endpoint": {"url": url}}
            )
            return made
        for destination in thin:
            await client.v2.core.event_destinations.disable_async(destination.id)
        for endpoint in known:
            await endpoints.update_async(endpoint.id, {"disabled": True})
        subscribed: Any = ((False, PLATFORM_EVENTS), (True, CONNECTED_EVENTS))
        fresh = [
            await endpoints.create_async(
                {"url": url, "enabled_events": list(events), "connect": connect}
            )
            for connect, events in subscribed
        ]
        secret = await _make_thin_destination(client, url)
    finally:
        await http.close_async()
    webhook_secrets = (*(endpoint.secret for endpoint in fresh if endpoint.secret), secret)
    made = msgspec.structs.replace(made, webhook_secrets=webhook_secrets)
    secrets.save(settings.data_dir, made)
    return made


async def _thin_destinations(client: Any) -> list[Any]:
    """The destinations of events of the /v2 API that are enabled."""
    listed = await client.v2.core.event_destinations.list_async()
    return [each for each in listed.data if each.status == "enabled"]


async def _make_thin_destination(client: Any, url: str) -> str:
    """The destination of thin events about accounts; returns its secret."""
    made = await client.v2.core.event_destinations.create_async(
        {
            "name": "Accounts",
            "type": "webhook_endpoint",
            "event_payload": "thin",
            "enabled_events": list(THIN_EVENTS),
            "events_from": ["@self", "@accounts"],
            "webhook_endpoint": {"url": url},
            "include": ["webhook_endpoint.signing_secret"],
        }
    )
    return str(made.webhook_endpoint.signing_secret)


# -- demo accounts ---------------------------------------------------------------------------


async def create_demo_accounts(ports: Ports) -> None:
    """Create the demo accounts that do not exist yet."""
    found = await ports.store.single().all(User, {"email": DEMO_EMAILS})
    existing = {user.email for user in found}
    for email, (name, role) in DEMO_ACCOUNTS.items():
        if email not in existing:
            await create_user(
                ports, email=email, password=DEMO_PASSWORD, name=name, role=role, verified=True
            )


def _welcome(settings: Settings, addresses: Addresses) -> None:
    rows = Table.grid(padding=(0, 2))
    rows.add_row("Open", f"[bold]{settings.public_url}[/bold]")
    if not settings.smtp_url:
        rows.add_row("Mails", f"{settings.public_url}/dev/mails")
    rows.add_row("Data", str(settings.data_dir.resolve()))
    if addresses.pids:
        rows.add_row("Started", ", ".join(addresses.pids))
    rows.add_row("", "")
    for email, (_, role) in DEMO_ACCOUNTS.items():
        rows.add_row(str(role), f"{email}  {DEMO_PASSWORD}")
    Console(soft_wrap=False).print(
        Panel(rows, title="JobSphere", subtitle="Ctrl-C ends it", expand=False)
    )

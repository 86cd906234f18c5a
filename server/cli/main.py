"""The command line: `jobsphere` or `python -m server`. Each command imports what it needs, so that
`--help` is fast."""

import asyncio
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

from server.runtime.loading import loading

if TYPE_CHECKING:
    from server.config import Settings


T = TypeVar("T")

WRONG_USE, FAILED = 2, 1  # exit codes

app = typer.Typer(
    help="JobSphere: jobs, bidding, chat and held payments over WebSockets.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
admin = typer.Typer(help="Administrators.", no_args_is_help=True)
app.add_typer(admin, name="admin")


def main() -> None:
    app()


@app.command()
def web() -> None:
    """Serve clients: sockets and HTTP. Configured by environment variables."""
    with loading():
        from server.cli import serve

    settings = configured()
    _run(lambda: serve.run(serve.web(settings), settings.drain_seconds))


@app.command()
def worker() -> None:
    """Deliver events and run tasks, without serving clients."""
    with loading():
        from server.cli import serve

    settings = configured()
    _run(lambda: serve.run(serve.worker(settings), settings.drain_seconds))


@app.command()
def dev() -> None:
    """Run everything on this machine, with embedded stores and demo accounts under DATA_DIR."""
    with loading():
        from server.cli import serve
        from server.config import ConfigError
        from server.dev import run as development
        from server.dev.store_kinds import EmbeddedError

    try:
        _run(lambda: serve.run(development.run(os.environ), development.drain_seconds(os.environ)))
    except ConfigError as wrong:
        _fail(str(wrong), WRONG_USE)
    except EmbeddedError as failed:
        _fail(str(failed), FAILED)


@app.command()
def demo(
    url: Annotated[
        str, typer.Option(help="The server; by default, the one that runs on DATA_DIR.")
    ] = "",
    amount: Annotated[int, typer.Option(min=1, help="The offer, in minor units.")] = 100_000,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Let the contractor withdraw the money at the end.")
    ] = False,
) -> None:
    """Play one job from posting to payout on the running dev server, and check its books."""
    with loading():
        from server.dev import demo as story
        from server.dev_environment import beside_dev, url_beside_dev

    beside = url_beside_dev(os.environ)
    chosen = url.rstrip("/") or beside
    sandbox = story.SandboxControl.of(beside_dev(os.environ)) if chosen == beside else None
    try:
        asyncio.run(story.play(chosen, amount, withdraw, sandbox))
    except story.StoryFailed as failed:
        _fail(str(failed), FAILED)


@app.command()
def seed(
    jobs: Annotated[int, typer.Option(min=1, max=20_000, help="How many jobs.")] = 500,
    days: Annotated[int, typer.Option(min=1, max=60, help="Over how many past days.")] = 30,
) -> None:
    """Fill an empty DATA_DIR with people, jobs, chats, money and disputes of the past days.

    It runs the embedded stores itself, so it needs `server dev` to be stopped.
    """
    with loading():
        from server.cli import serve
        from server.config import ConfigError
        from server.dev import run as development
        from server.dev.seed import run as seeding
        from server.dev.store_kinds import EmbeddedError

    try:
        work = seeding.run(os.environ, jobs, days)
        _run(lambda: serve.run(work, development.drain_seconds(os.environ)))
    except ConfigError as wrong:
        _fail(str(wrong), WRONG_USE)
    except EmbeddedError as failed:
        _fail(str(failed), FAILED)


@app.command()
def audit(
    head: Annotated[
        str, typer.Option(help="The head of the audit trail from an earlier run: SEQ:MAC.")
    ] = "",
) -> None:
    """Check the books (journal, balances, offers, and Stripe line by line) and the audit trail.

    Configured like `web`; without variables it uses the dev server that runs on DATA_DIR.
    """
    with loading():
        from domain.audit_trail.verification import HEAD
        from server.cli import audit as auditing

    if head and not HEAD.fullmatch(head):
        _fail("--head: give it as an earlier run printed it, SEQ:MAC.", WRONG_USE)
    settings = configured(beside_dev=True)
    differences = _run(lambda: asyncio.run(auditing.run(settings, head or None)))
    if differences:
        _fail(f"The books do not agree: {differences} differences.", FAILED)


@app.command()
def replay(
    event_ids: Annotated[
        list[str] | None, typer.Argument(help="Ids of Stripe's events, evt_...")
    ] = None,
    dead: Annotated[bool, typer.Option("--dead", help="All dead events.")] = False,
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="All quarantined events.")
    ] = False,
    since: Annotated[
        datetime | None,
        typer.Option(help="Only those received since then (UTC), with --dead or --quarantined."),
    ] = None,
) -> None:
    """Process Stripe's events again. Their objects are read again; nothing is booked twice.

    Configured like `web`; without variables it uses the dev server that runs on DATA_DIR.
    """
    with loading():
        from domain.stripe_events.inbox import EventStatus
        from server.cli import replay as replay_command

    chosen = {EventStatus.DEAD: dead, EventStatus.QUARANTINED: quarantined}
    statuses = [status for status, wanted in chosen.items() if wanted]
    if bool(event_ids) == bool(statuses):
        _fail("Name events, or choose some with --dead or --quarantined.", WRONG_USE)
    settings = configured(beside_dev=True)
    moment = since.replace(tzinfo=UTC) if since else None
    work = replay_command.run(settings, event_ids or [], statuses, moment)
    found = _run(lambda: asyncio.run(work))
    typer.echo(f"{found} events are queued again.")


@app.command("rotate-keys")
def rotate_keys() -> None:
    """Encrypt stored fields again under the first key of FIELD_KEYS, while the servers run.

    First give every process the new key as the first, before the old ones. When this command is
    done, the old keys can be removed. It continues where an interrupted run ended.
    """
    with loading():
        from server.cli import rotate_keys as rotation

    settings = configured(beside_dev=True)
    changed = _run(lambda: asyncio.run(rotation.run(settings)))
    typer.echo(f"{changed} records are encrypted again.")


@app.command()
def documents(folder: Path) -> None:
    """Write the documents of the API, openapi.json and asyncapi.json. Needs no configuration."""
    with loading():
        from server.cli import documents as writing

    for path in writing.write(folder, os.environ.get("PUBLIC_URL", "")):
        typer.echo(path)


@app.command()
def clients() -> None:
    """Write what the clients in static/client need of the documents. Needs no configuration."""
    with loading():
        from server.cli import clients as writing

    for path in writing.write():
        typer.echo(path)


PasswordFromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]


@admin.command()
def create(email: str, name: str, password_stdin: PasswordFromStdin = False) -> None:
    """Open an administrator's account. Asks for the password, twice."""
    with loading():
        from server.cli import serve
        from server.cli.create_admin import create_admin

    settings = configured(beside_dev=True)
    password = _read_password(password_stdin)
    _run(lambda: serve.run(create_admin(settings, email, name, password)))
    typer.echo(f"{email.lower()} is an administrator now.")


@admin.command()
def disable(
    email: str, reason: Annotated[str, typer.Option(help="Why, for the audit trail.")]
) -> None:
    """Ban an administrator and end their sessions. Another one may lift the ban."""
    with loading():
        from server.cli import manage_admin, serve

    settings = configured(beside_dev=True)
    _run(lambda: serve.run(manage_admin.disable(settings, email, reason)))
    typer.echo(f"{email.lower()} is disabled, and all sessions have ended.")


@admin.command("reset-password")
def reset_password(email: str, password_stdin: PasswordFromStdin = False) -> None:
    """Set an administrator's password and end their sessions. Asks for it, twice."""
    with loading():
        from server.cli import manage_admin, serve

    settings = configured(beside_dev=True)
    password = _read_password(password_stdin)
    _run(lambda: serve.run(manage_admin.reset_password(settings, email, password)))
    typer.echo(f"{email.lower()} has a new password, and all sessions have ended.")


@admin.command("reset-2fa")
def reset_2fa(email: str) -> None:
    """Remove an administrator's second factors and end their sessions."""
    with loading():
        from server.cli import manage_admin, serve

    settings = configured(beside_dev=True)
    _run(lambda: serve.run(manage_admin.reset_2fa(settings, email)))
    typer.echo(f"{email.lower()} has no second factor any more, and all sessions have ended.")


def _read_password(from_stdin: bool) -> str:
    """From standard input, ADMIN_PASSWORD or a prompt: a command line is visible to others on this
    machine."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if given := os.environ.get("ADMIN_PASSWORD"):
        return given
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


def configured(*, beside_dev: bool = False) -> "Settings":
    """Set up logging and return the settings; exits with all problems of the environment.

    `beside_dev` takes unset variables from the dev server that runs on DATA_DIR.
    """
    from server import dev_environment, log_setup
    from server.config import ConfigError, load

    try:
        settings = load(dev_environment.beside_dev(os.environ) if beside_dev else os.environ)
    except ConfigError as wrong:
        _fail(str(wrong), WRONG_USE)
    log_setup.configure(settings.log_level, (*settings.secrets, *_cloud_secrets()))
    return settings


def _cloud_secrets() -> list[str]:
    """Secrets of the object storage, which its client reads from the environment by itself."""
    names = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    return [os.environ[name] for name in names if os.environ.get(name)]


def _run(work: Callable[[], T]) -> T:
    """Run `work`; an expected error is printed as one line instead of a traceback."""
    from redis.exceptions import RedisError

    from domain.kernel.errors import DomainError
    from domain.kernel.field_codec import UndecipherableField
    from domain.kernel.store import DatabaseError
    from server.container import CannotServe

    try:
        return work()
    except (CannotServe, DomainError, UndecipherableField) as refused:
        _fail(str(refused), FAILED)
    except DatabaseError as away:
        _fail(f"MongoDB cannot be used: {away}", FAILED)
    except RedisError as away:
        _fail(f"Redis cannot be used: {away}", FAILED)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)

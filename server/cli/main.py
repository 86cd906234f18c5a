"""The command line: `jobsphere` or `python -m server`. What a command needs is imported by it, so
that `--help` answers at once."""

import asyncio
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

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
    from server.cli import serve

    settings = configured()
    _finish(lambda: serve.run(serve.web(settings)))


@app.command()
def worker() -> None:
    """Deliver events and carry out tasks, without serving clients."""
    from server.cli import serve

    settings = configured()
    _finish(lambda: serve.run(serve.worker(settings)))


@app.command()
def dev() -> None:
    """Run everything here, with stores and demo accounts of its own under DATA_DIR."""
    from server.cli import serve
    from server.config import ConfigError
    from server.dev import run as development
    from server.dev.stores import EmbeddedError

    try:
        _finish(lambda: serve.run(development.run(os.environ)))
    except ConfigError as wrong:
        _fail(str(wrong), WRONG_USE)
    except EmbeddedError as failed:
        _fail(str(failed), FAILED)


@app.command()
def demo(
    url: Annotated[str, typer.Option(help="Where it serves; by default, as DATA_DIR says.")] = "",
    amount: Annotated[int, typer.Option(min=1, help="The offer, in minor units.")] = 100_000,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Let the contractor take the money out at the end.")
    ] = False,
) -> None:
    """Play one job from posting to payout against the running dev server, and check its books."""
    from server.dev import demo as story
    from server.dev_environment import url_beside_dev

    try:
        asyncio.run(story.play(url.rstrip("/") or url_beside_dev(os.environ), amount, withdraw))
    except story.StoryFailed as failed:
        _fail(str(failed), FAILED)


@app.command()
def audit(
    head: Annotated[
        str, typer.Option(help="The head of the audit trail as printed before: SEQ:MAC.")
    ] = "",
) -> None:
    """Prove the books (the journal, balances, offers, and Stripe, line by line) and the trail.

    Configured like `web`; without variables it looks at the dev server that runs on DATA_DIR.
    """
    from domain.audit_trail.verification import HEAD
    from server.cli import audit as auditing

    if head and not HEAD.fullmatch(head):
        _fail("--head: give it as it was printed, SEQ:MAC.", WRONG_USE)
    settings = configured(beside_dev=True)
    differences = _finish(lambda: asyncio.run(auditing.run(settings, head or None)))
    if differences:
        _fail(f"The books do not agree: {differences} differences.", FAILED)


@app.command()
def replay(
    event_ids: Annotated[
        list[str] | None, typer.Argument(help="Events of Stripe's, as evt_...")
    ] = None,
    dead: Annotated[bool, typer.Option("--dead", help="All that were given up.")] = False,
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="All that are in quarantine.")
    ] = False,
    since: Annotated[
        datetime | None, typer.Option(help="Received since then (UTC), with --dead or so.")
    ] = None,
) -> None:
    """Work on events of Stripe's again: their objects are read anew, nothing is booked twice.

    Configured like `web`; without variables it looks at the dev server that runs on DATA_DIR.
    """
    from domain.stripe_events.inbox import EventStatus
    from server.cli import replay as replay_command

    chosen = {EventStatus.DEAD: dead, EventStatus.QUARANTINED: quarantined}
    statuses = [status for status, wanted in chosen.items() if wanted]
    if bool(event_ids) == bool(statuses):
        _fail("Name events, or choose some with --dead or --quarantined.", WRONG_USE)
    settings = configured(beside_dev=True)
    moment = since.replace(tzinfo=UTC) if since else None
    work = replay_command.run(settings, event_ids or [], statuses, moment)
    found = _finish(lambda: asyncio.run(work))
    typer.echo(f"{found} events are queued again.")


@admin.command()
def create(
    email: str,
    name: str,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Open an administrator's account. The password is asked for, twice."""
    from server.cli import serve
    from server.cli.create_admin import create_admin

    settings = configured(beside_dev=True)
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    _finish(lambda: serve.run(create_admin(settings, email, name, password)))
    typer.echo(f"{email.lower()} is an administrator now.")


def configured(*, beside_dev: bool = False) -> "Settings":
    """The settings from the environment, with logging set up; ends with all problems if wrong.

    `beside_dev` takes what is not set from the dev server that runs on DATA_DIR.
    """
    from server import dev_environment, log_setup
    from server.config import ConfigError, load

    try:
        settings = load(dev_environment.beside_dev(os.environ) if beside_dev else os.environ)
    except ConfigError as wrong:
        _fail(str(wrong), WRONG_USE)
    log_setup.configure(settings.log_level)
    return settings


def _finish(work: Callable[[], T]) -> T:
    """Run `work`; what is foreseen to go wrong is said in a line instead of a traceback."""
    from redis.exceptions import RedisError

    from domain.kernel.errors import DomainError
    from domain.kernel.store import DatabaseError
    from server.container import CannotServe

    try:
        return work()
    except (CannotServe, DomainError) as refused:
        _fail(str(refused), FAILED)
    except DatabaseError as away:
        _fail(f"MongoDB cannot be used: {away}", FAILED)
    except RedisError as away:
        _fail(f"Redis cannot be used: {away}", FAILED)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)

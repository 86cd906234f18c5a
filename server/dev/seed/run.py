"""`server seed`: starts the stores of the dev server, plays a history on them, and ends."""

import asyncio
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from domain.accounts.user import User
from domain.jobs.job import Job
from domain.ledger.transaction import Transaction
from domain.monitor import writer
from server.adapters.system_clock import MovableClock, SystemClock
from server.app import Web, listening
from server.container import CannotServe
from server.demo_accounts import DEMO_EMAILS
from server.dev.run import VARIABLES, create_demo_accounts, stage
from server.dev.seed.history import History
from server.dev.seed.sandbox import Sandbox
from server.dev.seed.timeline import Timeline
from server.dev.seed.world import World

FOREIGN = (*VARIABLES.values(), "STRIPE_SECRET_KEY", "S3_BUCKET", "SMTP_URL")
# While the history is played; a second in a dev server.
PAYOUT_SECONDS, USUAL_PAYOUT_SECONDS = 1.5 * 86_400, 1.0
LUCK = 11


class Told(msgspec.Struct, frozen=True):
    """What came of it: `failures` are stories that ended otherwise than planned."""

    jobs: int
    failures: list[str]


async def run(environ: Mapping[str, str], jobs: int, days: int) -> None:
    """Raises ConfigError, EmbeddedError or CannotServe."""
    refuse_foreign(environ)
    clock = MovableClock()
    quiet = {"LOG_LEVEL": "WARNING"}  # the log would name each mail
    # Round amounts, and nothing that waits for days when the history is there.
    async with stage(quiet | dict(environ) | {"SANDBOX": "plain"}) as (settings, addresses):
        assert settings.stripe_api_base
        sandbox = Sandbox(
            settings.stripe_api_base,
            settings.stripe_secret_key,
            settings.stripe_publishable_key,
            addresses.control_key,
        )
        try:
            async with listening(settings, clock, jobs=()) as web:
                told = await _with_progress(web, clock, sandbox, jobs, days)
        finally:
            await sandbox.close()
    console = Console(highlight=False)
    console.print(f"[bold green]{told.jobs} jobs of {days} days are there.[/bold green]")
    for failure in told.failures:
        console.print(f"Ended early: {failure}")
    console.print("See them with `make run`; `python -m server audit` beside it checks the books.")


def refuse_foreign(environ: Mapping[str, str]) -> None:
    """Only the embedded stores can be moved in time, and people without a password belong nowhere
    else. Raises CannotServe."""
    if given := [name for name in FOREIGN if environ.get(name, "").strip()]:
        raise CannotServe(
            "A history is played on the embedded stores of a dev server, under DATA_DIR: "
            f"unset {', '.join(given)}."
        )


async def _with_progress(
    web: Web, clock: MovableClock, sandbox: Sandbox, jobs: int, days: int
) -> Told:
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("jobs ended or left as they are"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task(f"{days} days", total=jobs)

        def on_job() -> None:
            progress.advance(task)

        def on_moment(moment: datetime) -> None:
            progress.update(task, description=f"{moment:%a %d %b %H:%M}")

        return await play(web, clock, sandbox, jobs, days, on_job=on_job, on_moment=on_moment)


async def play(
    web: Web,
    clock: MovableClock,
    sandbox: Sandbox,
    jobs: int,
    days: int,
    *,
    on_job: Callable[[], None] = lambda: None,
    on_moment: Callable[[datetime], None] = lambda moment: None,
) -> Told:
    """Play a history on a server whose clock is `clock` and which runs no periodic jobs.

    Raises CannotServe.
    """
    await refuse_used(web)
    end = SystemClock().now()
    luck = random.Random(LUCK)
    await sandbox.settings(payout_delay_seconds=PAYOUT_SECONDS)
    try:
        timeline = Timeline(web, clock, sandbox, end - timedelta(days=days), end)
        async with timeline:
            await create_demo_accounts(web.ports)
            demo = await web.store.single().all(User, {"email": DEMO_EMAILS})
            world = World(web, sandbox, timeline, luck)
            await History(world, jobs, on_job).begin(demo)
            await timeline.run(on_moment)
            await writer.count_again(web.store.single(), end - timedelta(days=days))
            return Told(jobs, timeline.failures)
    finally:
        await asyncio.shield(sandbox.settings(payout_delay_seconds=USUAL_PAYOUT_SECONDS))


async def refuse_used(web: Web) -> None:
    """What happened later cannot come first. Raises CannotServe."""
    uow = web.store.single()
    if await uow.find(Job, {}) or await uow.find(Transaction, {}):
        raise CannotServe(
            "This database has jobs already, and a history cannot be put before them: remove "
            "DATA_DIR, or name another one."
        )

"""`server audit`: the proof of the books as tables."""

from rich.console import Console
from rich.table import Table

from domain.audit import Report, audit
from domain.money import display
from server.app import Core
from server.config import Settings

COMPARED = (
    "transactions",
    "balances",
    "offers",
    "payments",
    "transfers",
    "payouts",
    "chargebacks",
)


async def run(settings: Settings) -> int:
    """Print the report; the number of differences. Starts neither relay nor scheduler."""
    core = Core(settings)
    try:
        await core.store.ping()
        report = await audit(core.ports)
    finally:
        await core.stop()
    show(report, Console(highlight=False))
    return len(report.differences)


def show(report: Report, console: Console) -> None:
    """Balances by account group, what was compared, and what did not agree."""
    totals = Table("account", "currency", "minor units", "", title="Balances by the journal")
    for column in totals.columns[2:]:
        column.justify = "right"
    for account, amounts in report.totals.items():
        for currency, amount in sorted(amounts.items()):
            totals.add_row(account, currency, str(amount), display(amount, currency))
    console.print(totals)
    compared = Table(*COMPARED, title="Compared")
    compared.add_row(*(str(getattr(report, name)) for name in COMPARED))
    console.print(compared)
    if not report.differences:
        return console.print("[bold green]No differences.[/bold green]")
    wrong = Table("what", "subject", "expected", "found", title="Differences")
    for found in report.differences:
        wrong.add_row(found.what, found.subject, str(found.expected), str(found.found))
    console.print(wrong)

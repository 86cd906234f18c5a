"""`server audit`: the proof of the books as tables."""

from rich.console import Console
from rich.table import Table

from domain import chain
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


async def run(settings: Settings, head: str | None = None) -> int:
    """Print the report; the number of differences. Starts neither relay nor scheduler.

    `head` is the head of the audit trail as it was noted before, `seq:mac`.
    """
    core = Core(settings)
    try:
        await core.store.ping()
        report = await audit(core.ports)
        proof = await chain.prove(core.ports, head)
    finally:
        await core.stop()
    console = Console(highlight=False)
    show(report, console)
    show_trail(proof, console)
    return len(report.differences) + len(proof.findings)


def show_trail(proof: chain.Proof, console: Console) -> None:
    """The head is to be noted where nobody who can write to the database can change it."""
    console.print(f"Audit trail: {proof.rows} rows, head {proof.head}", soft_wrap=True)
    if not proof.findings:
        return console.print("[bold green]The trail is whole.[/bold green]")
    wrong = Table("what", "where", title="The trail was tampered with")
    for found in proof.findings:
        wrong.add_row(found.what, found.subject)
    console.print(wrong)


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

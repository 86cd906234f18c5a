"""`server audit`: the proof of the books as tables."""

from collections.abc import Sequence
from datetime import timedelta

from rich.console import Console
from rich.table import Table

from domain.audit_trail import verification
from domain.deals.payment import Payment
from domain.kernel.money import display
from domain.reconciliation.books_audit import Report, audit
from domain.reconciliation.difference import Difference
from domain.reconciliation.runs import compare_stripe
from domain.reconciliation.stripe_lines import Comparison
from server.config import Settings
from server.container import Core

CLOCKS = timedelta(minutes=1)  # Stripe's may be behind, and tells no more than the second
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
        lines = await all_lines(core)
        proof = await verification.prove(core.ports, head)
    finally:
        await core.close()
    console = Console(highlight=False)
    show(report, console)
    show_lines(lines, console)
    show_trail(proof, console)
    return len(report.differences) + lines.count + len(proof.findings)


async def all_lines(core: Core) -> Comparison:
    """Every line of Stripe's books since the first payment; an audit writes nothing."""
    first = await core.store.single().find(Payment, {}, (("_id", 1),))
    now = core.ports.clock.now()
    start = first.created_at - CLOCKS if first else now
    return await compare_stripe(core.ports, start, now, repairs=False)


def show_lines(found: Comparison, console: Console) -> None:
    """Stripe's balance transactions by their type."""
    compared = Table("line", "compared", title="Lines of Stripe's books")
    compared.columns[1].justify = "right"
    for kind, count in sorted(found.compared.items()):
        compared.add_row(kind, str(count))
    console.print(compared)
    if found.unbooked:
        console.print(f"{found.unbooked} lines will be booked by the next reconciliation.")
    if not found.count:
        return console.print("[bold green]Every line is in our journal.[/bold green]")
    console.print(differences(found.differences, "Lines that differ"))
    if found.count > len(found.differences):
        console.print(f"... {found.count - len(found.differences)} more.")


def show_trail(proof: verification.Proof, console: Console) -> None:
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
    console.print(differences(report.differences, "Differences"))


def differences(found: Sequence[Difference], title: str) -> Table:
    wrong = Table("what", "subject", "expected", "found", title=title)
    for each in found:
        wrong.add_row(each.what, each.subject, str(each.expected), str(each.found))
    return wrong

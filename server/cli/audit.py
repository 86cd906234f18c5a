"""`server audit`: checks the books and the audit trail, and prints the result as tables."""

from collections.abc import Sequence
from datetime import timedelta

from rich.console import Console
from rich.table import Table

from domain.audit_trail import verification
from domain.deals.payment import Payment
from domain.kernel.money import display
from domain.reconciliation.book_difference import keep_audited
from domain.reconciliation.books_audit import Report, audit
from domain.reconciliation.difference import Difference
from domain.reconciliation.runs import compare_stripe
from domain.reconciliation.stripe_lines import Comparison
from server.config import Settings
from server.container import Container

CLOCK_TOLERANCE = timedelta(minutes=1)  # Stripe's clock may be behind; it counts whole seconds
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
    """Print the report; returns the number of differences. Starts neither relay nor scheduler.

    `head` is the head of the audit trail, `seq:mac`, as an earlier run printed it.
    """
    container = Container(settings)
    try:
        await container.store.ping()
        start = container.ports.clock.now()
        report = await audit(container.ports)
        await keep_audited(container.store.single(), start, report.differences)
        lines = await all_lines(container)
        proof = await verification.verify(container.ports, head)
    finally:
        await container.close()
    console = Console(highlight=False)
    show(report, console)
    show_lines(lines, console)
    show_trail(proof, console)
    return len(report.differences) + lines.count + len(proof.findings)


async def all_lines(container: Container) -> Comparison:
    """Compare every balance transaction of Stripe since the first payment; writes nothing."""
    first = await container.store.single().find(Payment, {}, (("_id", 1),))
    now = container.ports.clock.now()
    start = first.created_at - CLOCK_TOLERANCE if first else now
    return await compare_stripe(container.ports, start, now, repairs=False)


def show_lines(found: Comparison, console: Console) -> None:
    """The comparison of Stripe's balance transactions, by type."""
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


def show_trail(proof: verification.Verification, console: Console) -> None:
    """The head must be kept where those who can write to the database cannot change it."""
    console.print(f"Audit trail: {proof.rows} rows, head {proof.head}", soft_wrap=True)
    if not proof.findings:
        return console.print("[bold green]The trail is intact.[/bold green]")
    wrong = Table("what", "where", title="The trail was tampered with")
    for found in proof.findings:
        wrong.add_row(found.what, found.subject)
    console.print(wrong)


def show(report: Report, console: Console) -> None:
    """Balances by account group, the compared numbers, and the differences."""
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
    show_ownerless(report, console)
    if report.explained:
        console.print(f"{report.explained} differences are explained by administrators.")
    if not report.differences:
        return console.print("[bold green]No differences.[/bold green]")
    console.print(differences(report.differences, "Differences"))


def show_ownerless(report: Report, console: Console) -> None:
    """Money that cannot be withdrawn, earned or paid; it is no difference."""
    if not report.ownerless:
        return
    found = Table("kind", "subject", "amount", title="Money without an owner")
    found.columns[2].justify = "right"
    for each in report.ownerless:
        found.add_row(each.kind, each.subject, display(each.amount, each.currency))
    console.print(found)


def differences(found: Sequence[Difference], title: str) -> Table:
    wrong = Table("what", "subject", "expected", "found", title=title)
    for each in found:
        wrong.add_row(each.what, each.subject, str(each.expected), str(each.found))
    return wrong

"""Tables of the figures of all rounds: medians, ranges, ratios."""

import itertools
import re
import statistics
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

# Figure -> its unit, and the goals for the ratios to the peer on Node and on Bun.
KINDS: dict[str, tuple[str, str, str]] = {
    "ack": ("us CPU", "<= 1.0", "<= 0.9"),
    "ack and one push": ("us CPU", "", "<= 0.9"),
    "read": ("us CPU", "", "<= 0.9"),
    "delivery, connections of a user: 1": ("us CPU", "", "<= 0.9"),
    "delivery, connections of a user: 10": ("us CPU", "", "<= 0.9"),
    "delivery": ("us CPU", "<= 0.7", "<= 0.9"),
    "messages": ("durable/s", ">= 2.0", ">= 1.1"),
    "CPU of a message": ("us CPU", "", "<= 0.9"),
    "p50": ("ms", "", ""),
    "p99": ("ms", "<= 1.0", "<= 1.0"),
    "memory": ("KiB", "<= 1.0", "<= 0.9"),
}
Rounds = Mapping[str, Mapping[str, Sequence[float]]]  # figure -> server -> a number a round


def kind_of(figure: str) -> tuple[str, str, str]:
    return KINDS.get(figure) or KINDS[figure.partition(",")[0]]


def show(title: str, rounds: Rounds, ours: str, other: str, notes: Sequence[str]) -> None:
    """Print a table. Ratios are of medians; rounds are interleaved, so a slow minute affects
    both."""
    table = Table(
        "",
        "unit",
        f"{ours} (min-max)",
        f"{other} (min-max)",
        "ratio",
        "goal",
        title=title,
        title_justify="left",
    )
    for column in table.columns[2:5]:
        column.justify = "right"
    for figure, servers in rounds.items():
        unit, of_node, of_bun = kind_of(figure)
        goal = {"peer": of_node, "bun": of_bun}.get(other, "")
        one, two = servers.get(ours, ()), servers.get(other, ())
        ratio = f"{statistics.median(one) / statistics.median(two):.2f}" if one and two else "-"
        table.add_row(figure, unit, _format(one), _format(two), ratio, goal)
    console = Console(width=110)
    console.print(table)
    for note in notes:
        console.print(f"  {note}", highlight=False)


def growth(rounds: Rounds, server: str) -> list[str]:
    """The cost per item at each size: a line for each kind of figure."""
    kinds: dict[str, dict[int, float]] = {}
    for figure, servers in rounds.items():
        kind, _, size = figure.partition(", ")
        numbers = [int(word) for word in size.split() if word.isdigit()]
        if numbers and servers.get(server) and kind in ("delivery", "memory"):
            what = f"{kind}, {re.sub(r'[0-9]+', 'N', size)}"
            kinds.setdefault(what, {})[numbers[0]] = statistics.median(servers[server])
    return [
        f"{what}: {_sizes(found)}. Of each further one: {_sizes(further := _further(found))}; "
        f"most against least {_spread(further)}"
        for what, found in kinds.items()
        if len(found) > 1
    ]


def _further(found: Mapping[int, float]) -> dict[int, float]:
    """The marginal cost without the fixed part: the slope up to each size."""
    sizes = sorted(found)
    return {
        more: (found[more] * more - found[few] * few) / (more - few)
        for few, more in itertools.pairwise(sizes)
    }


def _sizes(found: Mapping[int, float]) -> str:
    return ", ".join(f"{size:,}: {each:.1f}" for size, each in found.items())


def _spread(found: Mapping[int, float]) -> str:
    return f"{max(found.values()) / min(found.values()):.2f}"


def _format(numbers: Sequence[float]) -> str:
    if not numbers:
        return "-"
    middle, low, high = statistics.median(numbers), min(numbers), max(numbers)
    return f"{middle:.1f} ({low:.1f}-{high:.1f})"

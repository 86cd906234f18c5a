"""Tasks: work after a commit, run at least once, until it succeeds or becomes a dead letter."""

from abc import abstractmethod
from datetime import datetime

from domain.kernel.outbox import Work
from domain.ports.ports import Ports


class Task(Work, frozen=True):
    """Work after a commit. It may run several times, so every effect must be guarded.

    Each task has an explicit tag, which its stored rows carry: `class Hold(Task, tag="hold")`.
    """

    @abstractmethod
    async def run(self, ports: Ports) -> None:
        """Raises TryAgain to be run again later, with the same or other fields, or NeedsPerson."""


class NeedsPerson(Exception):
    """Only a person can help: the task becomes a dead letter at once, and is not run by the clock.

    The transaction that stored the reason has alerted administrators.
    """


class TryAgain(Exception):
    """The outcome is unknown or not possible yet: run `task`, or the same task, again."""

    def __init__(self, reason: str, task: Task | None = None, at: datetime | None = None) -> None:
        super().__init__(reason)
        self.task = task
        self.at = at

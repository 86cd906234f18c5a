"""Tasks: work that runs after a commit, at least once, until it succeeds or is given up."""

from abc import abstractmethod
from datetime import datetime

from domain.kernel.outbox import Work
from domain.ports.ports import Ports


class Task(Work, frozen=True):
    """Work for after the commit. It runs at least once, so every effect must be guarded."""

    @abstractmethod
    async def run(self, ports: Ports) -> None:
        """Raises TryAgain to be run again later, perhaps with other fields."""


class TryAgain(Exception):
    """The outcome is not known or not possible yet: run `task` (or the same one) again."""

    def __init__(self, reason: str, task: Task | None = None, at: datetime | None = None) -> None:
        super().__init__(reason)
        self.task = task
        self.at = at

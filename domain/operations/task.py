"""Tasks: work that runs after a commit, at least once, until it succeeds or is given up."""

from abc import abstractmethod
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

import msgspec

from domain.kernel.outbox import Lane

if TYPE_CHECKING:
    from domain.ports.ports import Ports


class Task(msgspec.Struct, frozen=True, tag=True):
    """Work for after the commit. It runs at least once, so every effect must be guarded."""

    lane: ClassVar[Lane] = Lane.STRIPE

    @property
    def subject(self) -> str:
        """The id of the object it is about: its first field."""
        return str(getattr(self, self.__struct_fields__[0]))

    @abstractmethod
    async def run(self, ports: "Ports") -> None:
        """Raises TryAgain to be run again later, perhaps with other fields."""


class TryAgain(Exception):
    """The outcome is not known or not possible yet: run `task` (or the same one) again."""

    def __init__(self, reason: str, task: Task | None = None, at: datetime | None = None) -> None:
        super().__init__(reason)
        self.task = task
        self.at = at

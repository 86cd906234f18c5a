"""Protocol: a command asks for a recent confirmation of its caller's identity."""

from enum import StrEnum
from typing import Protocol

from domain.kernel.actor import Actor


class StepUpFor(StrEnum):
    """Why a command asks; `accounts/step_up.py` knows when.

    MONEY is for administrators' commands that move money, CREDENTIALS for changes to how one signs
    in and where one is paid, ADDRESS for a change of the e-mail address by a user who has a second
    factor, CHANGED_BANK for payments to a bank account that was changed since the last one.
    """

    MONEY = "money"
    CREDENTIALS = "credentials"
    ADDRESS = "address"
    CHANGED_BANK = "changed_bank"


class StepUp(Protocol):
    async def check(self, actor: Actor, reason: StepUpFor) -> None:
        """Raises StepUpRequired, NotFound for a user who does not exist any more, or Unavailable
        while sessions cannot be read."""
        ...

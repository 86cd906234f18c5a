"""Commands that are refused for now, and leave a record of it."""

from abc import ABC, abstractmethod

from domain.kernel.errors import DomainError
from domain.kernel.store import UnitOfWork


class Postponed(Exception, ABC):
    """Raised by an operation whose work has to wait: nothing of its transaction remains.

    `record` runs in a transaction of its own instead, and the caller gets the error it returns.
    """

    @abstractmethod
    async def record(
        self, uow: UnitOfWork, request_id: str | None, fingerprint: str
    ) -> DomainError: ...

"""Alerts administrators when Stripe does not let this deployment's key use a resource.

Nothing that waits for Stripe fails for it: the same request is made again, and succeeds when the
key or its permissions are corrected.
"""

import asyncio
from functools import partial

import structlog

from domain.kernel.store import Store, UnitOfWork
from domain.notifications.alerts import AlertRecord, alert
from server.runtime.background_tasks import end

log = structlog.get_logger()

KIND = "stripe_forbidden"
MAX_RESOURCES = 100  # remembered at once


class AccessAlerts:
    """One alert for each resource, until an administrator closes it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._writing: dict[str, asyncio.Task[None]] = {}

    def note(self, resource: str, problem: str) -> None:
        """Stripe refused the key for a resource, such as `refunds`."""
        if resource in self._writing or len(self._writing) >= MAX_RESOURCES:
            return
        writing = asyncio.create_task(self._write(resource, problem))
        self._writing[resource] = writing
        writing.add_done_callback(lambda _: self._writing.pop(resource, None))

    async def stop(self) -> None:
        await end(list(self._writing.values()))

    async def _write(self, resource: str, problem: str) -> None:
        tell = partial(_tell, resource=resource, problem=problem)
        try:
            if await self._store.transact(tell):
                log.error("Stripe refuses our key", resource=resource, problem=problem)
        except Exception:  # the next refusal tries again
            log.warning("alert not written", resource=resource, exc_info=True)


async def _tell(uow: UnitOfWork, resource: str, problem: str) -> bool:
    """False if an alert of it is open."""
    told = {"subject": resource, "kind": KIND, "open": True}
    if await uow.find(AlertRecord, told):
        return False
    await alert(
        uow,
        KIND,
        resource,
        f"Stripe does not let this platform's key use {resource}: {problem} Correct "
        "STRIPE_SECRET_KEY, or the permissions of the key in Stripe's dashboard. Nothing has "
        "failed: what waits for it is tried again by itself.",
    )
    return True

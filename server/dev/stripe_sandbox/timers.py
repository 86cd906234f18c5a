"""What happens by itself when a tenant's clock gets there: holds, payouts, failing refunds."""

from __future__ import annotations

from collections.abc import Callable

from server.dev.stripe_sandbox import charges, disputes, payouts, refunds

from .call import Call
from .state import Store, Tenant

HANDLERS: dict[str, Callable[[Call, str], None]] = {
    "dispute": disputes.by_card,
    "hold": charges.expire_hold,
    "overdue": disputes.overdue,
    "payout": payouts.advance,
    "refund": refunds.proceed,
}
NEXT = (
    "DELETE FROM timers WHERE (tenant, due, what, id) IN (SELECT tenant, due, what, id FROM timers"
    " WHERE tenant = ? AND due <= ? ORDER BY due LIMIT 1) RETURNING what, id"
)


def run(store: Store, tenant: Tenant) -> int:
    """Everything that is due, in order of time; inside a transaction. Returns how many."""
    done = 0
    while row := store.db.execute(NEXT, (tenant.key, tenant.now())).fetchone():
        call = Call(store, tenant, tenant.account)
        HANDLERS[row[0]](call, row[1])
        call.flush()
        done += 1
    return done


def sweep(store: Store) -> int:
    """One round over every tenant. Returns how many things happened."""
    done = 0
    for key in store.tenants():
        tenant = store.tenant(key)
        if tenant is None:
            continue
        due = "SELECT 1 FROM timers WHERE tenant = ? AND due <= ? LIMIT 1"
        if store.db.execute(due, (key, tenant.now())).fetchone():
            with store.transaction():
                done += run(store, tenant)
    return done

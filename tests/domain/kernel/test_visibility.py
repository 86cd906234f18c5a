"""Which records an actor may act on or read, by role and kind of record."""

from typing import Any

import pytest

from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.disputes.dispute import Dispute
from domain.kernel.actor import Actor, Role
from domain.kernel.record import Record
from domain.kernel.visibility import owned_by, visible_to

OWN = {"customer_id": "usr_1"}
RECEIVED = {"contractor_id": "usr_1"}
PAID = {**RECEIVED, "visible": True}  # contractors see an offer only once its money is held


@pytest.mark.parametrize(
    ("kind", "role", "where"),
    [
        (Offer, Role.CUSTOMER, OWN),
        (Offer, Role.CONTRACTOR, PAID),
        (Offer, Role.ADMIN, {}),
        (Payment, Role.CUSTOMER, OWN),
        (Payment, Role.CONTRACTOR, PAID),
        (Payment, Role.ADMIN, {}),
        (Dispute, Role.CUSTOMER, OWN),
        (Dispute, Role.CONTRACTOR, RECEIVED),
        (Dispute, Role.ADMIN, {}),
    ],
)
def test_each_role_sees_its_own_records(
    kind: type[Record], role: Role, where: dict[str, Any]
) -> None:
    """Guard: `visibility.visible_to`, and `CONTRACTOR_SEES` of Offer and Payment."""
    assert visible_to(Actor("usr_1", role, "ses_1"), kind) == where


def test_an_administrator_owns_nothing() -> None:
    """Guard: `visibility.owned_by`, which commands that write use: it has no exception for
    administrators."""
    assert owned_by(Actor("usr_1", Role.ADMIN, "ses_1"), Offer) == OWN

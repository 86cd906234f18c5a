"""The templates of notices: one entry for each event about money.

A template gets an event's data and the recipient's side, and returns a notice or None. The user who
caused an event gets it marked `own`: listed, not mailed. An acceptance notifies both sides, because
it counts only once the money is captured. A payment that the customer still has to confirm is `own`
too: they are on the bank's page already. A side does not see the other's private details: the
contractor learns that a payment failed, and not why.
"""

from collections.abc import Mapping

from domain.notifications.templates import offers, work
from domain.notifications.templates.alerts import alert
from domain.notifications.templates.disputes import dispute_updated
from domain.notifications.templates.payments import chargeback_updated, payment_updated
from domain.notifications.templates.security import security_changed
from domain.notifications.templates.wallet import account_updated, withdrawal_updated
from domain.notifications.text import Template

TEMPLATES: Mapping[str, Template] = {
    "/bidding offer.created": offers.offer_created,
    "/bidding offer.accepted": offers.offer_accepted,
    "/bidding offer.rejected": offers.offer_rejected,
    "/bidding offer.withdrawn": offers.offer_withdrawn,
    "/bidding offer.expired": offers.offer_expired,
    "/bidding offer.blocked": offers.offer_blocked,
    "/bidding offer.failed": offers.offer_failed,
    "/bidding offer.countered": offers.offer_countered,
    "/bidding offer.updated": work.offer_updated,
    "/job job.updated": work.job_updated,
    "/payment payment.updated": payment_updated,
    "/payment dispute.updated": dispute_updated,
    "/payment chargeback.updated": chargeback_updated,
    "/wallet withdrawal.updated": withdrawal_updated,
    "/account account.updated": account_updated,
    "/account security.changed": security_changed,
    "/admin alert": alert,
}

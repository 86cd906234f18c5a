"""What is told to whom, in plain words: one entry of the table for each event about money.

An entry gets an event's data and the side of one recipient, and answers with a notice or None.
Whoever caused an event finds it in their list (`own`) and gets no mail about it. An acceptance is
news for both: only the captured money makes it one. A payment that still has to be confirmed is
`own` too: its customer stands before the bank's page. Nobody is told what is the other side's
affair: the contractor learns that a payment failed, and not why.
"""

from collections.abc import Mapping

from domain.notifications.templates import offers, work
from domain.notifications.templates.alerts import alert
from domain.notifications.templates.disputes import dispute_updated
from domain.notifications.templates.payments import chargeback_updated, payment_updated
from domain.notifications.templates.wallet import account_updated, withdrawal_updated
from domain.notifications.text import Words

WORDS: Mapping[str, Words] = {
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
    "/admin alert": alert,
}

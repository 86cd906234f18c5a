"""The explicit lists of what is stored and what can run later, read by the composition root."""

from domain.accounts import OpenConnectAccount, User
from domain.applications import Application
from domain.chat import Conversation, Message
from domain.completion import MakeAvailable, PayContractor
from domain.deal import Offer, Payment
from domain.feed import FeedRow
from domain.jobs import Job
from domain.ledger import Balance, Transaction
from domain.operation import Reply
from domain.outbox import OutboxRow
from domain.refunds import Refund
from domain.settlement import BlockRivals, Capture, Hold, Inspect, Release
from domain.wallets import PayOut, Withdrawal
from domain.webhooks import Process, WebhookEvent

RECORDS = (
    User, Job, Application, Conversation, Message, Offer, Payment, Transaction, Balance,
    Withdrawal, FeedRow, OutboxRow, WebhookEvent, Reply,
)  # fmt: skip

TASKS = (
    OpenConnectAccount | Hold | Capture | Release | Refund | Inspect | BlockRivals | PayContractor
    | MakeAvailable | PayOut | Process
)  # fmt: skip

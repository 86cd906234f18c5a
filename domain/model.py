"""The explicit lists of what is stored and what can run later, read by the composition root."""

from domain.accounts import OpenConnectAccount, User
from domain.feed import FeedRow
from domain.operation import Reply
from domain.outbox import OutboxRow

RECORDS = (User, FeedRow, OutboxRow, Reply)

TASKS = OpenConnectAccount

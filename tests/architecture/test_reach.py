"""Operations that address a person ask `domain/chat/reach.py` whether they may.

An operation addresses a person if its command names a person, or a record that another person
shares, and it does more than read. It asks if it reaches one of the functions that raise what the
rule forbids. The others are listed with the reason why they need not ask.
"""

import re

from domain.chat.reach import check_reach, check_writable, require_reach
from domain.kernel.actor import PARTIES
from domain.kernel.errors import Blocked, Unreachable
from domain.operations.command import Style
from domain.operations.operation import Operation
from tests.architecture.source_tree import ROOT
from tests.architecture.test_limits import OPERATIONS, reaches

# Fields of commands that name a person, or what others than the caller have a part in.
PEOPLE = {
    "user_id",
    "contractor_id",
    "customer_id",
    "conversation_id",
    "conversation_ids",
    "message_id",
    "reply_to",
    "job_id",
    "application_id",
    "offer_id",
    "payment_id",
    "dispute_id",
    "thread_id",
    "email",
}
# Fields that name what is the caller's alone, and those that are no names.
OWN = {
    "session_id",
    "passkey_id",
    "search_id",
    "method_id",
    "withdrawal_id",
    "file_id",
    "file_ids",
    "client_id",
}
AGREED = "both have agreed on the work and its money, which go on; a dispute is the way out"
ENDS = "it ends what there is between the two"
OWN_JOB = "it is about the caller's own job, and reaches the market"
UNASKED = {
    "account.email_change": "the address is to be the caller's own",
    "chat.block": "it makes the rule",
    "chat.report": "it reaches administrators",
    "chat.delete": ENDS,
    "chat.read": "the mark is the caller's own; `publish_receipt` asks whether to push it",
    "chat.typing": "`ConversationMembers.others` asks",
    "chat.presence": "`ConversationMembers.reachable` leaves out whom the rule forbids",
    "job.update": OWN_JOB,
    "job.watch": "it reads; viewers are a number",
    "job.unwatch": "it ends a subscription of the caller's own",
    "job.start": AGREED,
    "job.deliver": AGREED,
    "job.complete": AGREED,
    "job.cancel": ENDS,
    "job-request.withdraw": ENDS,
    "job-request.reject": ENDS,
    "bidding.withdraw": ENDS,
    "bidding.reject": ENDS,
    "payment.confirm": "it pays for an offer that the caller has made",
    "payment.dispute_open": AGREED,
    "payment.dispute_say": AGREED,
    "payment.dispute_evidence": AGREED,
    "payment.dispute_propose": AGREED,
    "payment.dispute_agree": AGREED,
    "payment.dispute_escalate": AGREED,
}


def of_parties() -> dict[str, Operation]:
    """The operations of customers and contractors that do more than read."""
    return {
        name: op
        for name, op in OPERATIONS.items()
        if op.style is not Style.READ and op.roles & PARTIES
    }


def names_a_person(op: Operation) -> bool:
    return not PEOPLE.isdisjoint(op.command.__struct_fields__)


def asks(op: Operation) -> bool:
    return any(reaches(op, each.__name__) for each in (check_reach, check_writable, require_reach))


def test_operations_that_address_a_person_ask_whether_they_may() -> None:
    """Fails for a new operation that names another person and does not ask, and for a reason that
    is not needed any more."""
    asking = {name for name, op in of_parties().items() if asks(op)}
    unasked = {name for name, op in of_parties().items() if names_a_person(op)} - asking
    assert unasked == UNASKED.keys()
    assert {"chat.send", "job-request.apply", "bidding.create"} <= asking


def test_every_name_in_a_command_is_known() -> None:
    """Fails for a field of a new command that names something, and is in neither of the tables."""
    named = {
        field
        for op in of_parties().values()
        for field in op.command.__struct_fields__
        if field.endswith(("_id", "_ids", "_to"))
    }
    assert named <= PEOPLE | OWN


def test_the_rule_is_in_one_place() -> None:
    """Fails when another file decides who may not be reached."""
    made = re.compile(rf"raise ({Blocked.__name__}|{Unreachable.__name__})\b")
    raising = [path for path in ROOT.glob("domain/**/*.py") if made.search(path.read_text())]
    assert [str(path.relative_to(ROOT)) for path in raising] == ["domain/chat/reach.py"]

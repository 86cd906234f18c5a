"""Every administrators' operation either asks for a step-up or is known to move no money; and
every operation that takes a code counts the wrong ones."""

from domain.accounts.second_factor import CODES_PER_ACCOUNT
from domain.admin.approvals import ACTIONS
from domain.kernel.actor import ADMINS
from domain.operations.command import Style
from domain.ports.step_up import StepUpFor
from handlers import NAMESPACES
from tests.architecture.test_limits import OPERATIONS, names_that_reach

# They move no money themselves, or stop it, which must be quick.
WITHOUT_STEP_UP = {
    "admin.live",
    "admin.overview",
    "admin.freeze",
    "admin.ban",
    "admin.unban",
    "admin.sessions",
    "admin.user",
    "admin.session_end",
    "admin.evidence",  # what the bank reads; the bank decides
    "admin.alert_close",
    "admin.assign",
    "admin.report_decide",
    "admin.difference_close",
    "admin.hold",
    "admin.audit_chain",
    "admin.audit_verify",
    "admin.reconcile",  # books what has happened at Stripe
    # Tasks and events that were decided before are run again.
    "admin.retry",
    "admin.decline",
    "admin.discard",
    "admin.replay",
}


def test_administrators_commands_that_move_money_ask_for_a_step_up() -> None:
    """Guard: `step_up` on the operations; a new one must have it or be named above."""
    without = {
        exposed.operation.name
        for namespace in NAMESPACES
        for exposed in namespace.exposed
        if exposed.operation.roles == ADMINS
        and exposed.operation.style is not Style.READ
        and exposed.operation.step_up is not StepUpFor.MONEY
    }
    assert without == WITHOUT_STEP_UP


def test_each_of_them_is_under_the_two_person_rule() -> None:
    """Guard: `approvals.ACTIONS`; a new one must be there or be named here."""
    with_step_up = {name for name, op in OPERATIONS.items() if op.step_up is StepUpFor.MONEY}
    # The first carries such a command out. Others release only what is the contractor's already.
    released = {"admin.unfreeze", "admin.fraud_clear"}
    assert with_step_up - set(ACTIONS) == {"admin.approve", *released}


def test_operations_that_take_a_code_count_wrong_ones() -> None:
    """Guard: `CODES_PER_ACCOUNT`. Setting up knows the secret, so there is nothing to guess."""
    taking = set(names_that_reach("totp")) - {"account.totp_begin", "account.totp_confirm"}
    assert {"account.login_code", "account.step_up", "account.totp_disable"} <= taking
    assert [name for name in taking if CODES_PER_ACCOUNT not in OPERATIONS[name].limits] == []

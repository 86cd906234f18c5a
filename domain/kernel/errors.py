"""All errors that clients can receive: one class for each, with one code."""

from enum import StrEnum
from typing import Any, ClassVar


class Code(StrEnum):
    """The `code` of an error on both transports. Clients branch on it, so values never change."""

    INVALID = "invalid"
    UNKNOWN_COMMAND = "unknown_command"
    TOO_LARGE = "too_large"
    RATE_LIMITED = "rate_limited"
    TOO_MANY = "too_many"
    UNAUTHENTICATED = "unauthenticated"
    TOKEN_EXPIRED = "token_expired"
    WRONG_CREDENTIALS = "wrong_credentials"
    SECOND_FACTOR_REQUIRED = "second_factor_required"
    SECOND_FACTOR_SETUP_REQUIRED = "second_factor_setup_required"
    STEP_UP_REQUIRED = "step_up_required"
    EMAIL_UNVERIFIED = "email_unverified"
    BANNED = "banned"
    BLOCKED = "blocked"
    FORBIDDEN = "forbidden"
    APPROVAL_REQUIRED = "approval_required"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    EMAIL_TAKEN = "email_taken"
    REQUEST_ID_REUSED = "request_id_reused"
    REQUEST_IN_PROGRESS = "request_in_progress"
    JOB_NOT_OPEN = "job_not_open"
    JOB_TAKEN = "job_taken"
    JOB_NOT_ASSIGNED = "job_not_assigned"
    JOB_NOT_IN_PROGRESS = "job_not_in_progress"
    DISPUTE_REQUIRED = "dispute_required"
    DISPUTE_OPEN = "dispute_open"
    DISPUTE_NOT_OPEN = "dispute_not_open"
    PAYMENT_DISPUTED = "payment_disputed"
    MILESTONE_NOT_STANDING = "milestone_not_standing"
    NOT_REFUNDABLE = "not_refundable"
    WALLET_FROZEN = "wallet_frozen"
    MONEY_OUTSTANDING = "money_outstanding"
    ALREADY_APPLIED = "already_applied"
    APPLICATION_NOT_PENDING = "application_not_pending"
    NOT_AN_APPLICANT = "not_an_applicant"
    OFFER_EXISTS = "offer_exists"
    OFFER_NOT_PENDING = "offer_not_pending"
    OFFER_EXPIRED = "offer_expired"
    CURRENCY_NOT_SUPPORTED = "currency_not_supported"
    AMOUNT_NOT_PAYABLE = "amount_not_payable"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    NOT_ONBOARDED = "not_onboarded"
    INVALID_SIGNATURE = "invalid_signature"
    UNSUPPORTED_TYPE = "unsupported_type"
    QUOTA_EXCEEDED = "quota_exceeded"
    TOO_OLD = "too_old"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class Rule(StrEnum):
    """What a refused field breaks. `details.rule` is one of these, so values never change.

    `value` is for input of the right form that is refused for what it says, such as a wrong code.
    """

    REQUIRED = "required"
    UNKNOWN = "unknown"
    TYPE = "type"
    MIN = "min"
    ABOVE = "above"
    MAX = "max"
    MULTIPLE_OF = "multiple_of"
    MIN_LENGTH = "min_length"
    MAX_LENGTH = "max_length"
    PATTERN = "pattern"
    CHOICE = "choice"
    FORMAT = "format"
    VALUE = "value"


class DomainError(Exception):
    """An error of the contract. `details` may name the field or value that is wrong."""

    code: ClassVar[Code] = Code.INTERNAL
    status: ClassVar[int] = 500
    message: ClassVar[str] = "Something went wrong on our side. Nothing was changed."

    def __init__(self, message: str | None = None, **details: Any) -> None:
        super().__init__(message or self.message)
        self.details = details


class Invalid(DomainError):
    """`details`: the `rule` that is broken, the `field` by its path (`milestones[1].amount`) if it
    is one, and the `limit` of the rule if it has one: a number, or the list of choices.

    `sentence` is for a person, without the field's name: "this is your address already."
    """

    code, status = Code.INVALID, 422
    message = "A field, or the whole request, is refused."

    def __init__(
        self, sentence: str, *, rule: Rule, field: str | None = None, limit: Any = None
    ) -> None:
        known = {"field": field, "rule": rule, "limit": limit}
        details = {name: value for name, value in known.items() if value is not None}
        super().__init__(f"{field}: {sentence}" if field else sentence, **details)


class UnknownCommand(DomainError):
    code, status, message = Code.UNKNOWN_COMMAND, 404, "There is no such command."


class TooLarge(DomainError):
    code, status, message = Code.TOO_LARGE, 413, "The message is too large."


class TooMany(DomainError):
    """`details.limit` is the maximum number."""

    code, status, message = Code.TOO_MANY, 409, "You have reached the maximum number of these."


class RateLimited(DomainError):
    """`details.retry_after` is in seconds."""

    code, status = Code.RATE_LIMITED, 429
    message = "Too many requests: wait for `retry_after` seconds."


class Unauthenticated(DomainError):
    """`details.banned` is true if the session ended with a ban of its user."""

    code, status, message = Code.UNAUTHENTICATED, 401, "Sign in first."


class TokenExpired(DomainError):
    code, status, message = Code.TOKEN_EXPIRED, 401, "The access token has expired: refresh it."


class WrongCredentials(DomainError):
    code, status, message = Code.WRONG_CREDENTIALS, 401, "E-mail or password is wrong."


class SecondFactorRequired(DomainError):
    """The password was right. `details` has the `challenge` for the second step, when it
    `expires_at`, and the `methods` that can answer it: totp, passkey, recovery_code."""

    code, status = Code.SECOND_FACTOR_REQUIRED, 401
    message = "Confirm the sign-in with your second factor."


class SecondFactorSetupRequired(DomainError):
    code, status = Code.SECOND_FACTOR_SETUP_REQUIRED, 403
    message = "Administrators need a second factor: set up a passkey or codes first, then refresh."


class StepUpRequired(DomainError):
    """`details.methods` are those that `account.step_up` needs: password, totp, passkey."""

    code, status = Code.STEP_UP_REQUIRED, 403
    message = "Confirm that it is you (account.step_up), then try again."


class EmailUnverified(DomainError):
    code, status = Code.EMAIL_UNVERIFIED, 403
    message = "Confirm your e-mail address first: `account.verify_send` mails you a code."


class Banned(DomainError):
    code, status = Code.BANNED, 403
    message = "This account has been banned: contact the platform."


class Blocked(DomainError):
    """`details.by` lists the users who have blocked the other."""

    code, status, message = Code.BLOCKED, 403, "One of you has blocked the other."


class Forbidden(DomainError):
    code, status, message = Code.FORBIDDEN, 403, "Your role does not allow this."


class ApprovalRequired(DomainError):
    """`details`: approval_id, amount, currency, expires_at. It waits for `admin.approve`."""

    code, status = Code.APPROVAL_REQUIRED, 409
    message = "Another administrator has to approve this."


class NotFound(DomainError):
    code, status, message = Code.NOT_FOUND, 404, "There is no such object, or it is not yours."


class Unreachable(NotFound):
    """Two people may not reach each other; see `chat/reach.py`. Its code is the one that clients
    know of all operations which name a person."""

    message = "One of you has blocked the other."


class Conflict(DomainError):
    code, status, message = (
        Code.CONFLICT,
        409,
        "The object was changed by another request: read it again.",
    )


class EmailTaken(DomainError):
    code, status, message = Code.EMAIL_TAKEN, 409, "This e-mail address already has an account."


class RequestIdReused(DomainError):
    code, status = Code.REQUEST_ID_REUSED, 409
    message = "This request id was used with other fields: choose a new one."


class RequestInProgress(DomainError):
    code, status = Code.REQUEST_IN_PROGRESS, 409
    message = "The first request with this id is still running: ask again soon."


class JobNotOpen(DomainError):
    code, status, message = Code.JOB_NOT_OPEN, 409, "The job is not open any more."


class JobTaken(DomainError):
    code, status, message = Code.JOB_TAKEN, 409, "Another offer on this job is being accepted."


class JobNotAssigned(DomainError):
    code, status, message = Code.JOB_NOT_ASSIGNED, 409, "The job is not waiting to be started."


class JobNotInProgress(DomainError):
    code, status, message = Code.JOB_NOT_IN_PROGRESS, 409, "The job is not in progress."


class DisputeRequired(DomainError):
    code, status = Code.DISPUTE_REQUIRED, 409
    message = "The work has started: cancelling requires an agreement through a dispute."


class DisputeOpen(DomainError):
    code, status = Code.DISPUTE_OPEN, 409
    message = "This part of the work is in dispute: agree there, or wait for the decision."


class DisputeNotOpen(DomainError):
    code, status, message = Code.DISPUTE_NOT_OPEN, 409, "The dispute does not allow this any more."


class PaymentDisputed(DomainError):
    code, status = Code.PAYMENT_DISPUTED, 409
    message = "The card's bank has disputed the payment: wait for its decision."


class MilestoneNotStanding(DomainError):
    code, status = Code.MILESTONE_NOT_STANDING, 409
    message = "The milestone is completed or cancelled."


class NotRefundable(DomainError):
    code, status = Code.NOT_REFUNDABLE, 409
    message = "Nothing of this payment can be refunded now."


class WalletFrozen(DomainError):
    code, status = Code.WALLET_FROZEN, 409
    message = "The wallet is frozen: contact the platform."


class MoneyOutstanding(DomainError):
    """`details.outstanding` names what must be settled first."""

    code, status = Code.MONEY_OUTSTANDING, 409
    message = "The account has outstanding money or work: settle it first."


class AlreadyApplied(DomainError):
    code, status, message = Code.ALREADY_APPLIED, 409, "You have already applied to this job."


class ApplicationNotPending(DomainError):
    code, status = Code.APPLICATION_NOT_PENDING, 409
    message = "The application has been answered or withdrawn."


class NotAnApplicant(DomainError):
    code, status = Code.NOT_AN_APPLICANT, 409
    message = "The contractor has no active application to this job."


class OfferExists(DomainError):
    code, status = Code.OFFER_EXISTS, 409
    message = "This contractor already has an open offer for the job: withdraw it first."


class OfferNotPending(DomainError):
    code, status, message = Code.OFFER_NOT_PENDING, 409, "The offer is not waiting for an answer."


class OfferHasExpired(DomainError):
    code, status, message = Code.OFFER_EXPIRED, 409, "The offer has expired."


class CurrencyNotSupported(DomainError):
    code, status = Code.CURRENCY_NOT_SUPPORTED, 422
    message = "The platform does not settle this currency."


class AmountNotPayable(DomainError):
    code, status, message = Code.AMOUNT_NOT_PAYABLE, 422, "This amount cannot be charged."


class InsufficientFunds(DomainError):
    code, status = Code.INSUFFICIENT_FUNDS, 409
    message = "The available balance is lower than the amount."


class NotOnboarded(DomainError):
    code, status = Code.NOT_ONBOARDED, 409
    message = "Finish the payout onboarding first (account.onboard)."


class InvalidSignature(DomainError):
    code, status = Code.INVALID_SIGNATURE, 400
    message = "The signature does not match the body, or its time is too far off."


class UnsupportedType(DomainError):
    """`details.found` is the detected type, `details.allowed` the accepted types."""

    code, status = Code.UNSUPPORTED_TYPE, 415
    message = "Files of this type are not accepted."


class QuotaExceeded(DomainError):
    code, status = Code.QUOTA_EXCEEDED, 409
    message = "You have reached the limit for stored files."


class TooOld(DomainError):
    code, status = Code.TOO_OLD, 410
    message = "These events are no longer kept: reload your lists and continue from `head`."


class Unavailable(DomainError):
    code, status = Code.UNAVAILABLE, 503
    message = "A part of the system is unavailable: try again with the same request id."


class InternalError(DomainError):
    """The answer to an unexpected failure, without details."""

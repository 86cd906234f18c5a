"""The lists of all records and tasks, read by the composition root."""

from domain.accounts.challenges import UsedChallenge
from domain.accounts.email_change import SendEmailChange, SendEmailUndo
from domain.accounts.email_verification import SendVerification
from domain.accounts.mailed_tokens import MailedToken
from domain.accounts.passkey import Passkey
from domain.accounts.password_reset import SendReset
from domain.accounts.registration import Registration, SendRegistration
from domain.accounts.second_factor import SecondFactor
from domain.accounts.sessions import EndSession, EndSessions, Revocation
from domain.accounts.user import User
from domain.admin.activity import ActivityRow
from domain.admin.approval import Approval, UnapprovedTotal
from domain.admin.assignments import Assignment
from domain.audit_trail.chain_state import CheckTrail, TrailCheck
from domain.audit_trail.hash_chain import Anchor
from domain.bidding.system_messages import PostSystemMessages
from domain.chat.conversation import Conversation, Message
from domain.chat.group_commit import FinishMessages
from domain.chat.reports import Report
from domain.chat.search_backfill import TermsPosition
from domain.deals.chargeback import Chargeback
from domain.deals.offer import Offer
from domain.deals.payment import Payment
from domain.disputes.chargeback_evidence import ChargebackEvidence
from domain.disputes.chargebacks import ReadDispute, SubmitEvidence
from domain.disputes.dispute import Dispute
from domain.disputes.timeline import DisputeEntry
from domain.files.file import File
from domain.files.gridfs import GridChunk, GridFile
from domain.files.review import FileReview
from domain.jobs.applications import Application
from domain.jobs.blocks import AnnounceReach
from domain.jobs.job import Job
from domain.jobs.saved_searches import MatchSavedSearches, SavedSearch, SearchHit
from domain.kernel.key_rotation import RotationPosition
from domain.kernel.leases import Lease
from domain.kernel.outbox import OutboxRow
from domain.kernel.process_registry import ProcessHeartbeat
from domain.ledger.balances import Balance
from domain.ledger.transaction import Transaction
from domain.monitor.bucket import SeriesBucket, SeriesPosition
from domain.monitor.tally import Tally
from domain.notifications.alerts import AlertRecord
from domain.notifications.feed import FeedRow
from domain.notifications.notices import NotificationMark, Notify, SendMail
from domain.operations.audit_log import AuditRow, WaitingRow
from domain.operations.idempotency import Reply
from domain.payments.card_attempts import CardAttempt
from domain.payments.caused_refunds import CausedRefund
from domain.payments.duplicates import DuplicateCharge, RefundDuplicate
from domain.payments.payment_methods import CreateCustomer
from domain.payments.processing import (
    BlockRivalOffers,
    CapturePayment,
    HoldPayment,
    ReadPayment,
    ReleasePayment,
)
from domain.payments.refunds import CheckWaitingRefund, SendRefund
from domain.payouts.external_reversals import ReadReversals
from domain.payouts.onboarding import CreateConnectAccount, PayOutManually
from domain.payouts.refills import RefillAccount
from domain.payouts.remainders import GiveUpRemainders
from domain.payouts.reversals import ReverseTransfer
from domain.payouts.shortfall import Shortfall
from domain.payouts.stranded import FollowRejection
from domain.payouts.transfer import Reversal, Transfer
from domain.payouts.transfer_tasks import MakeAvailable, ReadConnectAccount, SendTransfer
from domain.presence.presence import LastSeen, PushPresence
from domain.privacy.erasure import DeleteStripeCustomer, EraseCopies
from domain.privacy.export import MakeExport
from domain.privacy.name_copies import CopyName
from domain.reconciliation.book_difference import BookDifference
from domain.reconciliation.follow_up import FollowUp
from domain.reconciliation.foreign_lines import ForeignLine
from domain.reconciliation.ownerless_money import OwnerlessMoney
from domain.reconciliation.runs import Reconciliation, RunReconciliation
from domain.reconciliation.stripe_lines import ReadRefunds
from domain.stripe_events.inbox import ProcessEvent, WebhookEvent
from domain.stripe_events.payloads import WebhookPayload
from domain.wallet.withdrawals import ReadPayout, SendPayout, Withdrawal

RECORDS = (
    User,
    SecondFactor,
    Passkey,
    UsedChallenge,
    MailedToken,
    Registration,
    Job,
    Application,
    Conversation,
    Message,
    Offer,
    Payment,
    CardAttempt,
    CausedRefund,
    Transaction,
    Balance,
    Withdrawal,
    Transfer,
    Reversal,
    Shortfall,
    Dispute,
    DisputeEntry,
    Chargeback,
    FeedRow,
    OutboxRow,
    WebhookEvent,
    WebhookPayload,
    Reply,
    Lease,
    ProcessHeartbeat,
    SeriesBucket,
    SeriesPosition,
    Tally,
    RotationPosition,
    WaitingRow,
    AuditRow,
    Anchor,
    FollowUp,
    Reconciliation,
    NotificationMark,
    LastSeen,
    SavedSearch,
    SearchHit,
    File,
    GridFile,
    GridChunk,
    Report,
    TermsPosition,
    Revocation,
    Approval,
    UnapprovedTotal,
    ActivityRow,
    AlertRecord,
    Assignment,
    TrailCheck,
    BookDifference,
    FileReview,
    OwnerlessMoney,
    ForeignLine,
    ChargebackEvidence,
    DuplicateCharge,
)

TASKS = (
    CreateConnectAccount
    | PayOutManually
    | HoldPayment
    | CapturePayment
    | ReleasePayment
    | SendRefund
    | CheckWaitingRefund
    | ReadPayment
    | BlockRivalOffers
    | SendTransfer
    | MakeAvailable
    | ReverseTransfer
    | ReadReversals
    | RefillAccount
    | FollowRejection
    | SendPayout
    | ReadPayout
    | ReadDispute
    | SubmitEvidence
    | CreateCustomer
    | ProcessEvent
    | RunReconciliation
    | ReadRefunds
    | ReadConnectAccount
    | Notify
    | SendMail
    | EndSessions
    | EndSession
    | DeleteStripeCustomer
    | EraseCopies
    | MakeExport
    | SendReset
    | SendVerification
    | SendRegistration
    | SendEmailChange
    | SendEmailUndo
    | MatchSavedSearches
    | PushPresence
    | AnnounceReach
    | CopyName
    | FinishMessages
    | PostSystemMessages
    | CheckTrail
    | RefundDuplicate
    | GiveUpRemainders
)

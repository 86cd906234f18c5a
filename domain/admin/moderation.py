"""Reports and their decisions, and the conversation of a dispute, for administrators.

Of a reported conversation administrators see what the report quotes. They read it only while its
two sides are in dispute.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec

from domain.accounts.sessions import end_revoked_sessions
from domain.admin.assignments import unassign
from domain.admin.bans import Ban, ban
from domain.admin.lists import view_of
from domain.admin.people import names_of, titles_of
from domain.chat.conversation import Conversation, EarlierContent, Message, Seq
from domain.chat.history import messages_around
from domain.chat.messages import delete_content
from domain.chat.reports import Decision, Report, ReportStatus
from domain.disputes.dispute import Dispute
from domain.files.file import Attachment
from domain.kernel.actor import ADMINS, Actor
from domain.kernel.documents import given
from domain.kernel.errors import Conflict, Forbidden, Invalid, NotFound, Rule
from domain.kernel.fields import ConversationId, JobId, about
from domain.kernel.record import Page
from domain.kernel.store import UnitOfWork
from domain.kernel.text_types import prose
from domain.notifications.notices import notify
from domain.operations.command import Command, Cursor, Id, PageSize, Reason, Style
from domain.operations.operation import operation
from domain.ports.ports import Ports

TOLD = {
    Decision.WARN: "Something that you wrote in a conversation was reported, and it breaks the "
    "rules: do not write such messages.",
    Decision.REMOVE_MESSAGE: "A message of yours was reported and removed, because it breaks the "
    "rules.",
}
THANKS = "The administrators have looked at what you reported. Thank you."


class SeenReport(Report, frozen=True, kw_only=True):
    """A report with its decision and the names of its people."""

    PRIVATE = frozenset[str]()

    names: Annotated[dict[str, str], about("The names of the people, by user id.")]
    job_title: Annotated[str, about("The title of the job.")]


class ListReports(Command, frozen=True):
    """`user_id` is the reported user, `by` the one who reports."""

    user_id: Annotated[Id | None, about("Only reports about this user.")] = None
    by: Annotated[Id | None, about("Only reports of this user.")] = None
    status: Annotated[ReportStatus | None, about("Only reports in this state.")] = None
    cursor: Cursor | None = None
    limit: PageSize = 20


class Decide(Command, frozen=True):
    """`message` is for the reported user, `reason` for the audit trail."""

    report_id: Annotated[Id, about("The id of the report.")]
    decision: Annotated[
        Decision,
        about(
            "`dismiss` does nothing, `warn` writes to the user, `remove_message` deletes the "
            "message and writes to the user, `ban` bans the user."
        ),
    ]
    reason: Reason
    message: Annotated[
        str,
        prose(1000, least=0),
        about("What the reported user is told with a warning or a removal."),
    ] = ""


class ReadConversation(Command, frozen=True):
    """The newest messages, those before `before_seq`, or those after `after_seq`."""

    dispute_id: Annotated[Id, about("The id of the dispute.")]
    before_seq: Annotated[
        Seq | None, about("Only messages with lower numbers, the newest of them.")
    ] = None
    after_seq: Annotated[
        Seq | None, about("Only messages with higher numbers, the oldest of them.")
    ] = None
    limit: PageSize = 50


class ArchivedMessage(msgspec.Struct, frozen=True):
    """A message with its earlier texts, from before it was edited or deleted."""

    id: Annotated[str, about("The id of the message.")]
    seq: Annotated[int, about("Its number in the conversation.")]
    author_id: Annotated[str, about("The id of its author, or `system`.")]
    kind: Annotated[str, about("`text`, or the event that the platform reports.")]
    text: Annotated[str, about("The text as it is now; empty if it was deleted.")]
    files: Annotated[tuple[Attachment, ...], about("The files that it carries now.")]
    created_at: Annotated[datetime, about("When it was sent.")]
    edited_at: Annotated[datetime | None, about("When its author last edited it; null if never.")]
    deleted_at: Annotated[datetime | None, about("When its author deleted it; null if never.")]
    history: Annotated[tuple[EarlierContent, ...], about("Earlier versions, the first one first.")]


class ArchivedMessages(msgspec.Struct, frozen=True):
    """Consecutive messages of one conversation, ascending."""

    conversation_id: ConversationId
    job_id: JobId
    names: Annotated[dict[str, str], about("The names of the members, by user id.")]
    items: Annotated[list[ArchivedMessage], about("The messages, ascending by number.")]
    head: Annotated[int, about("The number of the newest message.")]


def _conversation(answer: dict[str, Any]) -> list[str]:
    return [answer["conversation_id"]]


@operation("admin.reports", roles=ADMINS, style=Style.READ)
async def list_reports(cmd: ListReports, actor: Actor, uow: UnitOfWork) -> Page[SeenReport]:
    """List reports, newest first."""
    where = given(about_id=cmd.user_id, by=cmd.by)
    if cmd.status:  # reports from before there were states are open
        where["status"] = (cmd.status, None) if cmd.status is ReportStatus.OPEN else cmd.status
    page = await uow.page(Report, where, cursor=cmd.cursor, limit=cmd.limit)
    return Page(await _seen(uow, page.items), page.next_cursor)


async def decided_reply(report_id: str, actor: Actor, ports: Ports) -> SeenReport:
    """The reply to `report_decide`, after the sessions of a banned user have ended."""
    uow = ports.store.single()
    report = await uow.get(Report, report_id)
    if report.decision is Decision.BAN:
        await end_revoked_sessions(ports, report.about_id)
    [seen] = await _seen(uow, [report])
    return seen


@operation("admin.report_decide", roles=ADMINS, reply=decided_reply, errors=(Forbidden, NotFound))
async def report_decide(cmd: Decide, actor: Actor, uow: UnitOfWork) -> Report:
    """Decide about an open report, once. Raises NotFound, Conflict, and Invalid for the removal of
    a message where none is reported."""
    report = await uow.get(Report, cmd.report_id)
    dismissed = cmd.decision is Decision.DISMISS
    decided = await uow.change(
        Report,
        report.id,
        only_if={"status": (ReportStatus.OPEN, None)},
        status=ReportStatus.DISMISSED if dismissed else ReportStatus.ACTED,
        decision=cmd.decision,
        decided_at=uow.now,
        decided_by=actor.id,
        decide_reason=cmd.reason,
    )
    if decided is None:
        raise Conflict("This report is decided already.")
    if cmd.decision is Decision.REMOVE_MESSAGE:
        await _remove_message(uow, report)
    if cmd.decision is Decision.BAN:
        await ban(Ban(user_id=report.about_id, reason=cmd.reason), actor, uow)
    elif not dismissed:
        await _tell(uow, report.about_id, decided, cmd.message or TOLD[cmd.decision])
    await _tell(uow, report.by, decided, THANKS)
    await unassign(uow, report.id)
    return decided


async def _remove_message(uow: UnitOfWork, report: Report) -> None:
    """Raises Invalid."""
    if not report.message_id:
        raise Invalid("no message is reported.", field="decision", rule=Rule.VALUE)
    message = await uow.get(Message, report.message_id)
    if message.deleted_at is None:
        await delete_content(uow, message)


async def _tell(uow: UnitOfWork, user_id: str, report: Report, text: str) -> None:
    own = user_id == report.by
    title = "Your report was looked at" if own else "A message from the administrators"
    await notify(uow, [user_id], "moderation", title, text, report.id, path="/chat", always=True)


async def _seen(uow: UnitOfWork, reports: Sequence[Report]) -> list[SeenReport]:
    people = (id for report in reports for id in _people(report))
    names, titles = await names_of(uow, people), await titles_of(uow, (r.job_id for r in reports))
    return [
        SeenReport(
            **msgspec.structs.asdict(report),
            names={id: name for id, name in names.items() if id in _people(report)},
            job_title=titles[report.job_id],
        )
        for report in reports
    ]


def _people(report: Report) -> tuple[str | None, ...]:
    return report.by, report.about_id, report.decided_by


@operation(
    "admin.conversation", roles=ADMINS, style=Style.READ, subjects=_conversation, errors=(NotFound,)
)
async def read_conversation(
    cmd: ReadConversation, actor: Actor, uow: UnitOfWork
) -> ArchivedMessages:
    """Read the conversation of the two sides of a dispute. Raises NotFound."""
    dispute = await uow.get(Dispute, cmd.dispute_id)
    place = await uow.find(
        Conversation, {"job_id": dispute.job_id, "contractor_id": dispute.contractor_id}
    )
    if place is None:
        raise NotFound("The two sides have no conversation about this job.")
    stretch = await messages_around(uow, place, cmd.before_seq, cmd.after_seq, cmd.limit)
    items = [view_of(ArchivedMessage, message) for message in stretch.items]
    return ArchivedMessages(place.id, place.job_id, place.names, items, stretch.head)

"""Blocks between two users, reports to administrators, and what administrators may read."""

from functools import partial

from domain.accounts.user import User
from domain.chat.conversation import open_between
from domain.chat.reports import Report
from domain.notifications.alerts import AlertRecord
from domain.notifications.feed import FeedRow
from tests.domain.chat.test_conversations import Talk, listed, meet, open_chat, refused
from tests.domain.chat.test_messages import change, refused_change
from tests.support.market import Market
from tests.support.one_server import one_server, own_server
from tests.support.parties import Json, Party

pytestmark = one_server


async def block(talk: Talk, party: Party, on: bool = True) -> Json:
    fields = {"conversation_id": talk.id, "on": on}
    seen: Json = await party.call("/chat", "block", fields)
    return seen


async def try_to_send(talk: Talk, party: Party) -> str:
    answer = await party.ack("/chat", "send", {"conversation_id": talk.id, "text": "Hello?"})
    return "ok" if answer["ok"] else str(answer["error"]["code"])


async def test_a_block_stops_both_until_it_is_removed(market: Market) -> None:
    """Guard: `blocked_by` in `reach.check_writable`."""
    talk = await meet(market)
    sent = await talk.say(talk.customer, "Tuesday")
    assert (await block(talk, talk.contractor))["blocked_by"] == [talk.contractor.id]
    await market.settled()
    before = await market.traces()
    for party in (talk.customer, talk.contractor):
        answer = await party.ack("/chat", "send", {"conversation_id": talk.id, "text": "Hello?"})
        assert answer["error"]["code"] == "blocked"
        assert answer["error"]["details"] == {"by": [talk.contractor.id]}
        assert (await listed(party))[0]["blocked_by"] == [talk.contractor.id]
        assert await refused_change(talk, party, "react", sent, emoji="👍") == "blocked"
    assert await refused_change(talk, talk.customer, "edit", sent, text="Now!") == "blocked"
    assert await market.traces() == before
    await block(talk, talk.customer, False)  # only the user who blocked can remove the block
    assert await try_to_send(talk, talk.customer) == "blocked"
    await block(talk, talk.customer)
    await block(talk, talk.contractor, False)
    assert await try_to_send(talk, talk.contractor) == "blocked"
    await block(talk, talk.customer, False)
    assert await try_to_send(talk, talk.contractor) == "ok"
    assert (await change(talk, talk.customer, "delete", sent))["deleted_at"]


async def test_a_block_applies_to_all_conversations_of_the_two(market: Market) -> None:
    """Guard: `change_all` in `blocks.block`, and `blocked_by` in `open_between`."""
    talk, elsewhere = await meet(market), await meet(market)
    customer, contractor = talk.customer, talk.contractor
    others = []
    for _ in range(2):
        job = await market.job(customer)
        await market.application(contractor, job)
        others.append(job)
    second = Talk(customer, contractor, others[0], await open_chat(customer, others[0], contractor))
    third = Talk(customer, contractor, others[1], await open_chat(contractor, others[1], customer))
    await block(talk, customer)
    assert [await try_to_send(each, contractor) for each in (talk, second, third)] == [
        "blocked"
    ] * 3
    opened = await market.store.transact(
        partial(
            open_between,
            job_id="job_1",
            job_title="Paint the fence",
            customer_id=customer.id,
            contractor_id=contractor.id,
        )
    )
    assert opened.blocked_by == (customer.id,)
    await block(third, customer, False)
    assert [await try_to_send(each, contractor) for each in (talk, second, third)] == ["ok"] * 3
    assert await try_to_send(elsewhere, elsewhere.contractor) == "ok"


async def test_a_repeated_report_alerts_the_administrators_once(market: Market) -> None:
    """Guard: `existing` in `reports.report`, and `Report.said`: the reported text is copied, also
    that of a deleted message."""
    admin = await market.admin()
    talk = await meet(market)
    sent = await talk.say(talk.contractor, "Pay me outside of the platform")
    await change(talk, talk.contractor, "delete", sent)
    fields = {
        "conversation_id": talk.id,
        "message_id": sent["id"],
        "reason": "fraud",
        "text": "See.",
    }
    made = await talk.customer.call("/chat", "report", fields)
    pushed = await admin.push("/admin", "alert")
    assert (pushed["kind"], pushed["subject"]) == ("chat_reported", made["id"])
    again = await talk.customer.call("/chat", "report", {**fields, "reason": "spam"})
    assert again == made
    of_conversation = await talk.customer.call(
        "/chat",
        "report",
        {
            "conversation_id": talk.id,
            "reason": "other",
        },
    )
    await market.settled()
    assert len(admin.received("/admin", "alert")) == 2
    seen = (await admin.call("/admin", "reports"))["items"]
    assert [{name: each[name] for name in made} for each in seen] == [of_conversation, made]
    names = {talk.customer.id: "Carla Customer", talk.contractor.id: "Colin Contractor"}
    assert (seen[0]["names"], seen[0]["job_title"]) == (names, talk.job["title"])
    assert (made["by"], made["about_id"]) == (talk.customer.id, talk.contractor.id)
    assert (made["said"], made["text"]) == ("Pay me outside of the platform", "See.")
    about = {"user_id": talk.customer.id}
    assert (await admin.call("/admin", "reports", about))["items"] == []
    assert [p for p in talk.contractor.pushes if "rep_" in str(p.data)] == []


async def test_reports_are_decided_once(market: Market) -> None:
    """Guard: `moderation.report_decide`: each decision has its effect, and both sides are told."""
    admin, talk = await market.admin(), await meet(market)
    decided = {}
    for decision in ("dismiss", "warn", "remove_message", "ban"):
        sent = await talk.say(talk.contractor, f"Pay me outside: {decision}")
        fields = {"conversation_id": talk.id, "message_id": sent["id"], "reason": "fraud"}
        report = await talk.customer.call("/chat", "report", fields)
        decide = {"report_id": report["id"], "decision": decision, "reason": "Against the rules"}
        seen = await admin.call("/admin", "report_decide", decide)
        acted = "dismissed" if decision == "dismiss" else "acted"
        assert (seen["status"], seen["decision"], seen["decided_by"]) == (acted, decision, admin.id)
        assert seen["names"][admin.id] == "Ada Admin"
        again = await admin.ack("/admin", "report_decide", decide)
        assert again["error"]["code"] == "conflict"
        decided[decision] = seen
        repeated = await talk.customer.call("/chat", "report", fields)
        assert repeated["decision"] == decision and "decided_by" not in repeated
    gone = await talk.customer.push(
        "/chat", "message", lambda message: message["deleted_at"] is not None
    )
    assert gone["text"] == ""
    await talk.contractor.wait_until_disconnected()
    user = await market.store.single().get(User, talk.contractor.id)
    assert user.ban_reason == "Against the rules"
    await market.settled()
    told = [row for row in await market.rows(FeedRow, user_id=user.id, name="notification")]
    about = {row.data["subject_id"] for row in told if row.data["kind"] == "moderation"}
    assert about == {decided["warn"]["id"], decided["remove_message"]["id"]}
    listed = (await admin.call("/admin", "reports", {"status": "acted"}))["items"]
    assert listed == [decided[each] for each in ("ban", "remove_message", "warn")]
    assert (await admin.call("/admin", "reports", {"status": "open"}))["items"] == []
    by = {"by": talk.customer.id, "user_id": talk.contractor.id}
    assert len((await admin.call("/admin", "reports", by))["items"]) == 4
    whole = await market.rows(AlertRecord)
    assert len(whole) == 4


async def test_only_a_reported_message_is_removed(market: Market) -> None:
    """Guard: `_remove_message`: the report of a conversation names no message."""
    admin, talk = await market.admin(), await meet(market)
    fields = {"conversation_id": talk.id, "reason": "spam"}
    report = await talk.customer.call("/chat", "report", fields)
    decide = {"report_id": report["id"], "decision": "remove_message", "reason": "Spam"}
    answer = await admin.ack("/admin", "report_decide", decide)
    assert answer["error"]["code"] == "invalid"
    [seen] = (await admin.call("/admin", "reports"))["items"]
    assert (seen["status"], seen["decided_by"]) == ("open", None)


async def test_only_messages_of_the_other_member_are_reported(market: Market) -> None:
    """Guard: `author_id=other` and the conversation in `reports.report`."""
    talk, elsewhere = await meet(market), await meet(market)
    own = await talk.say(talk.customer, "Mine")
    theirs = await elsewhere.say(elsewhere.contractor, "Elsewhere")
    before = await market.traces()
    for message in (own, theirs):
        assert (
            await refused_change(talk, talk.customer, "report", message, reason="spam")
            == "not_found"
        )
    fields = {"conversation_id": talk.id, "reason": "spam"}
    assert await refused(elsewhere.customer, "report", fields) == "not_found"
    assert await market.traces() == before
    assert await market.rows(Report) == []


@own_server
async def test_administrators_read_only_the_conversation_of_a_dispute(market: Market) -> None:
    """Guard: `moderation.read_conversation` starts from a dispute, and each read has an audit
    row."""
    deal = await market.accepted_job()
    await market.start(deal.contractor, deal.job)
    place = await open_chat(deal.customer, deal.job, deal.contractor)
    talk = Talk(deal.customer, deal.contractor, deal.job, place)
    await market.settled()
    sent = await talk.say(talk.contractor, "I will never finish this")
    await change(talk, talk.contractor, "edit", sent, text="Tomorrow")
    last = await talk.say(talk.customer, "Please do")
    await change(talk, talk.customer, "delete", last)
    admin = await market.admin()

    async def read(dispute_id: str, **fields: object) -> Json:
        kept: Json = await admin.call(
            "/admin", "conversation", {"dispute_id": dispute_id, **fields}
        )
        return kept

    answer = await admin.ack("/admin", "conversation", {"dispute_id": deal.job["id"]})
    assert answer["error"]["code"] == "not_found"
    dispute = await talk.customer.call(
        "/payment",
        "dispute_open",
        {
            "job_id": deal.job["id"],
            "reason": "quality",
            "text": "It is raw wood.",
        },
    )
    await market.settled()
    kept = await read(dispute["id"])
    assert kept["conversation_id"] == talk.id
    texts = [
        (message["text"], [each["text"] for each in message["history"]])
        for message in kept["items"]
        if message["kind"] == "text"
    ]
    assert texts == [("Tomorrow", ["I will never finish this"]), ("", ["Please do"])]
    assert (await read(dispute["id"], limit=1))["items"] == kept["items"][-1:]
    rows = await market.trail(operation="admin.conversation")
    assert [row.actor_id for row in rows] == [admin.id] * 2
    assert [row.subjects for row in rows] == [(talk.id,)] * 2
    assert dispute["id"] in rows[0].detail
    assert "never finish" not in "".join(row.detail for row in await market.trail())

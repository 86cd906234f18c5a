"""What is done with messages once they are said: changed, taken back, answered, found."""

import random
from datetime import timedelta
from typing import Any

import pytest

from domain.chat.conversation import Conversation, LastMessage, Message
from domain.chat.group_commit import terms_of
from domain.chat.messages import EDITABLE, MAX_CHANGES, MAX_EMOJIS
from domain.kernel import text_search
from domain.kernel.store import UnitOfWork, new_id
from tests.conftest import Server
from tests.domain.chat.test_conversations import Talk, listed, meet, refused
from tests.support.market import Market
from tests.support.parties import Json, Party

INDEX = "conversation_id_1_terms_1__id_-1"


async def change(talk: Talk, party: Party, command: str, message: Json, **fields: object) -> Json:
    fields = {"conversation_id": talk.id, "message_id": message["id"], **fields}
    changed: Json = await party.call("/chat", command, fields)
    return changed


async def no(talk: Talk, party: Party, command: str, message: Json, **fields: object) -> str:
    fields = {"conversation_id": talk.id, "message_id": message["id"], **fields}
    return await refused(party, command, fields)


async def found(party: Party, q: str, **fields: object) -> list[str]:
    page = await party.call("/chat", "search", {"q": q, **fields})
    return [message["text"] for message in page["items"]]


async def changes(talk: Talk, party: Party, revision: int) -> Json:
    asked = {"conversations": {}, "revisions": {talk.id: revision}}
    told: Json = (await party.call("/chat", "sync", asked))["changes"][talk.id]
    return told


# -- changing ----------------------------------------------------------------------------------


async def test_an_edited_message_keeps_its_place_and_both_are_told(market: Market) -> None:
    """Guard: `publish` with `seq=changed.seq` in `_change_message`, and `history` among the
    PRIVATE."""
    talk = await meet(market)
    said = await talk.say(talk.customer, "Tuesday")
    await talk.say(talk.contractor, "Fine")
    edited = await change(talk, talk.customer, "edit", said, text="Wednesday")
    assert (edited["seq"], edited["version"], edited["revision"]) == (1, said["version"] + 1, 1)
    assert edited["edited_at"] and "history" not in edited
    for party in (talk.customer, talk.contractor):
        push = await party.pushed("/chat", "message", lambda data: data["text"] == "Wednesday")
        assert (push.seq, push.data) == (1, edited)
    assert (await talk.history(talk.contractor))["items"][0] == edited
    (row,) = await market.rows(Message, _id=said["id"])
    assert [each.text for each in row.history] == ["Tuesday"]
    assert (await listed(talk.contractor))[0]["last_message"]["text"] == "Fine"


async def test_only_its_author_changes_a_message_and_not_for_ever(market: Market) -> None:
    """Guard: `author_id` in `_get_undeleted`, EDITABLE and MAX_CHANGES in `edit`."""
    talk = await meet(market)
    said = await talk.say(talk.customer, "Tuesday")
    other = await meet(market, talk.customer)
    before = await market.traces()
    assert await no(talk, talk.contractor, "edit", said, text="Never") == "not_found"
    assert await no(talk, talk.contractor, "delete", said) == "not_found"
    assert await no(other, talk.customer, "edit", said, text="Elsewhere") == "not_found"
    same = await change(talk, talk.customer, "edit", said, text="Tuesday")
    assert same == said
    assert await market.traces() == before
    uow = market.store.single()
    await uow.change(Message, said["id"], created_at=uow.now - EDITABLE - timedelta(minutes=1))
    assert await no(talk, talk.customer, "edit", said, text="Late") == "conflict"
    fresh = await talk.say(talk.customer, "0")
    for n in range(MAX_CHANGES):
        await change(talk, talk.customer, "edit", fresh, text=f"{n + 1}")
    assert await no(talk, talk.customer, "edit", fresh, text="Once more") == "conflict"


async def test_changes_missed_while_away_are_synced(market: Market) -> None:
    """Guard: the conversation's `revision`, given in the transaction of each change."""
    talk = await meet(market)
    first, second = [await talk.say(talk.customer, text) for text in ("One", "Two")]
    edited = await change(talk, talk.customer, "edit", first, text="1")
    assert await changes(talk, talk.contractor, 0) == {"items": [edited], "revision": 1}
    gone = await change(talk, talk.customer, "delete", second)
    again = await change(talk, talk.customer, "edit", first, text="One!")
    assert await changes(talk, talk.contractor, 1) == {"items": [gone, again], "revision": 3}
    assert await changes(talk, talk.contractor, 3) == {"items": [], "revision": 3}
    stranger = await market.contractor()
    asked = {"conversations": {}, "revisions": {talk.id: 0}}
    assert await refused(stranger, "sync", asked) == "not_found"


async def test_what_is_taken_back_is_nowhere_shown_and_kept(market: Market) -> None:
    """Guard: `text=""` and `terms=()` in `delete`, and the preview that `_change_message`
    renews."""
    talk = await meet(market)
    said = await talk.say(talk.customer, "My password is hunter2")
    answer = await talk.say(talk.contractor, "Take that back!", reply_to=said["id"])
    assert answer["reply_to"] == {"id": said["id"], "seq": 1, "author_id": talk.customer.id}
    last = await talk.say(talk.customer, "hunter2, you mean?", client_id="c-1")
    for message in (said, last):
        gone = await change(talk, talk.customer, "delete", message)
        assert (gone["text"], gone["deleted_at"] is None, gone["seq"]) == (
            "",
            False,
            message["seq"],
        )
        await talk.contractor.push("/chat", "message", lambda data, gone=gone: data == gone)
        assert await no(talk, talk.customer, "delete", message) == "not_found"
        assert await no(talk, talk.customer, "edit", message, text="Again") == "not_found"
        reply = {"conversation_id": talk.id, "text": "?", "reply_to": message["id"]}
        assert await refused(talk.contractor, "send", reply) == "not_found"
    for party in (talk.customer, talk.contractor):
        seen = [
            await talk.history(party),
            await listed(party),
            await talk.sync(party, 0),
            await changes(talk, party, 0),
            await found(party, "hunter2"),
        ]
        assert "hunter2" not in str(seen)
        assert (await listed(party))[0]["last_message"]["text"] == ""
    kept = [row.history[0].text for row in await market.rows(Message) if row.history]
    assert kept == ["My password is hunter2", "hunter2, you mean?"]
    repeated = await talk.say(talk.customer, "hunter2, you mean?", client_id="c-1")
    assert (repeated["id"], repeated["text"]) == (last["id"], "")


async def test_a_late_preview_does_not_bring_back_what_was_said(
    market: Market, server: Server
) -> None:
    """Guard: `seq` and `revision` come first in LastMessage, and `raise_fields` only raises it:
    what follows from a message may be done after it was taken back."""
    talk = await meet(market)
    said = await talk.say(talk.customer, "Tuesday")
    await change(talk, talk.customer, "delete", said)
    uow = server.store.single()
    late = LastMessage(
        seq=1, author_id=talk.customer.id, text="Tuesday", at=uow.now + timedelta(days=1)
    )
    await uow.raise_fields(Conversation, [({"_id": talk.id}, {"last_message": late})])
    assert (await listed(talk.contractor))[0]["last_message"]["text"] == ""


# -- answering and reacting ----------------------------------------------------------------------


async def test_an_answer_names_a_message_of_its_own_conversation(market: Market) -> None:
    """Guard: `_can_be_answered` in writing.py."""
    talk = await meet(market)
    other = await meet(market, talk.customer)
    there = await other.say(talk.customer, "Elsewhere")
    before = await market.traces()
    for id in (there["id"], "msg_none"):
        fields = {"conversation_id": talk.id, "text": "Yes", "reply_to": id}
        assert await refused(talk.customer, "send", fields) == "not_found"
    assert await market.traces() == before


async def test_reactions_come_and_go(market: Market) -> None:
    """Guard: `others` in `react`: each once for each emoji, and only their own taken back."""
    talk = await meet(market)
    said = await talk.say(talk.customer, "Done!")
    for party in (talk.customer, talk.contractor, talk.contractor):
        reacted = await change(talk, party, "react", said, emoji="👍")
    both = [talk.customer.id, talk.contractor.id]
    assert reacted["reactions"] == [{"emoji": "👍", "user_ids": both}]
    assert reacted["revision"] == 2  # the third one changed nothing
    await talk.customer.push("/chat", "message", lambda data: data == reacted)
    reacted = await change(talk, talk.contractor, "react", said, emoji="👍", on=False)
    assert reacted["reactions"] == [{"emoji": "👍", "user_ids": both[:1]}]
    assert await no(talk, talk.customer, "react", said, emoji="two words") == "invalid"
    for n in range(MAX_EMOJIS - 1):
        await change(talk, talk.contractor, "react", said, emoji=f"e{n}")
    assert await no(talk, talk.contractor, "react", said, emoji="one more") == "invalid"
    assert await no(talk, talk.contractor, "react", said, emoji="more") == "conflict"


# -- finding -------------------------------------------------------------------------------------


async def test_messages_are_found_in_ones_own_conversations(market: Market) -> None:
    """Guard: `conversation_id` of the filter in `find`, and the newest first."""
    talk = await meet(market)
    other = await meet(market, talk.customer)
    for each, text in (
        (talk, "The red paint is ready"),
        (other, "Paint it red, please"),
        (talk, "Blue paint"),
    ):
        await each.say(each.contractor, text)
    assert await found(talk.customer, "red PAINTING") == [
        "Paint it red, please",
        "The red paint is ready",
    ]
    assert await found(talk.customer, "paint", conversation_id=other.id) == ["Paint it red, please"]
    assert await found(talk.contractor, "paint") == ["Blue paint", "The red paint is ready"]
    assert await found(talk.customer, "the") == []
    first = await talk.customer.call("/chat", "search", {"q": "paint", "limit": 2})
    rest = {"q": "paint", "limit": 2, "cursor": first["next_cursor"]}
    assert await found(talk.customer, **rest) == ["The red paint is ready"]
    fields = {"q": "paint", "conversation_id": talk.id}
    assert await refused(other.contractor, "search", fields) == "not_found"
    assert await found(await market.contractor(), "paint") == []


async def test_an_edited_message_is_found_by_its_new_words(market: Market) -> None:
    """Guard: `terms` in `edit`."""
    talk = await meet(market)
    said = await talk.say(talk.customer, "Primer on Tuesday")
    await change(talk, talk.customer, "edit", said, text="Varnish on Tuesday")
    assert await found(talk.contractor, "primer") == []
    assert await found(talk.contractor, "varnish tuesday") == ["Varnish on Tuesday"]


async def test_a_search_reads_what_it_finds(server: Server) -> None:
    """Guard: the index of `Message` that begins with the conversation and its words.

    Of several conversations the embedded server uses it only when it is told to.
    """
    uow, dice = server.store.single(), random.Random(7)
    words = [f"word{n}" for n in range(50)]
    await uow.add_all(
        [
            Message(
                id=new_id(Message.PREFIX),
                created_at=uow.now,
                updated_at=uow.now,
                author_id="usr_1",
                conversation_id=f"cnv_{n % 40}",
                seq=n,
                text="",
                terms=terms_of(" ".join(said)),
            )
            for n in range(800)
            if (said := dice.choices(words, k=8))
        ]
    )
    (word,) = text_search.query_terms("word42")
    twenty = [f"cnv_{n}" for n in range(20)]
    for places, hint in (("cnv_0", {}), ({"$in": twenty}, {"hint": INDEX})):
        where = {"conversation_id": places, "terms": word}
        command = {
            "find": Message.COLLECTION,
            "filter": where,
            "sort": {"_id": -1},
            "limit": 20,
            **hint,
        }
        explained = await server.store.database.command(
            {"explain": command, "verbosity": "executionStats"}
        )
        plan = str(explained["queryPlanner"]["winningPlan"])
        assert f"'indexName': '{INDEX}'" in plan
        stats = explained["executionStats"]
        assert 0 < stats["totalDocsExamined"] <= await uow.count(Message, where)


async def test_what_one_missed_in_a_conversation_is_read_from_an_index(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `documents.any_of` in `history._messages_after` and `group_commit._find_sent_before`,
    and the INDEXES of Message."""
    talk, asked, real = await meet(market), [], UnitOfWork.all

    async def noting(uow: UnitOfWork, kind: type[Any], where: Any, *args: Any) -> Any:
        if kind is Message and "_id" not in where:
            asked.append(where)
        return await real(uow, kind, where, *args)

    monkeypatch.setattr(UnitOfWork, "all", noting)
    said = await talk.say(talk.customer, "Tuesday", client_id="one")
    assert await talk.say(talk.customer, "Tuesday", client_id="one") == said
    assert (await talk.sync(talk.contractor, 0))["items"] == [said]
    await change(talk, talk.customer, "edit", said, text="Wednesday")
    assert len((await changes(talk, talk.contractor, 0))["items"]) == 1
    assert len(asked) == 3
    for where in asked:
        explained = await server.store.database.command(
            {"explain": {"find": Message.COLLECTION, "filter": where}, "verbosity": "queryPlanner"}
        )
        assert "COLLSCAN" not in str(explained["queryPlanner"]["winningPlan"]), where

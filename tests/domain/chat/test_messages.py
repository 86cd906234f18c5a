"""Sent messages: editing, deletion, replies, reactions and search."""

import random
from datetime import timedelta
from typing import Any

import pytest

from domain.chat import search_backfill
from domain.chat.conversation import (
    MAX_CHANGES,
    MAX_EMOJIS,
    MAX_TERMS,
    Conversation,
    LastMessage,
    Message,
)
from domain.chat.messages import EDITABLE
from domain.chat.search_terms import message_terms, query_terms
from domain.kernel.store import UnitOfWork, new_id
from tests.conftest import Server
from tests.domain.chat.test_conversations import Talk, listed, meet, refused
from tests.support.market import Market
from tests.support.one_server import one_server
from tests.support.parties import Json, Party

pytestmark = one_server

INDEX = "conversation_id_1_terms_1__id_-1"


async def change(talk: Talk, party: Party, command: str, message: Json, **fields: object) -> Json:
    fields = {"conversation_id": talk.id, "message_id": message["id"], **fields}
    changed: Json = await party.call("/chat", command, fields)
    return changed


async def refused_change(
    talk: Talk, party: Party, command: str, message: Json, **fields: object
) -> str:
    fields = {"conversation_id": talk.id, "message_id": message["id"], **fields}
    return await refused(party, command, fields)


async def search(party: Party, q: str, **fields: object) -> list[str]:
    page = await party.call("/chat", "search", {"q": q, **fields})
    return [message["text"] for message in page["items"]]


async def changes(talk: Talk, party: Party, revision: int) -> Json:
    asked = {"conversations": {}, "revisions": {talk.id: revision}}
    changed: Json = (await party.call("/chat", "sync", asked))["changes"][talk.id]
    return changed


# -- edit and delete ---------------------------------------------------------------------------


async def test_an_edited_message_keeps_its_number_and_is_pushed_to_both(market: Market) -> None:
    """Guard: `publish` with `seq=changed.seq` in `_change_message`, and `history` in
    `Message.PRIVATE`."""
    talk = await meet(market)
    sent = await talk.say(talk.customer, "Tuesday")
    await talk.say(talk.contractor, "Fine")
    edited = await change(talk, talk.customer, "edit", sent, text="Wednesday")
    assert (edited["seq"], edited["version"], edited["revision"]) == (1, sent["version"] + 1, 1)
    assert edited["edited_at"] and "history" not in edited
    for party in (talk.customer, talk.contractor):
        push = await party.pushed("/chat", "message", lambda data: data["text"] == "Wednesday")
        assert (push.seq, push.data) == (1, edited)
    assert (await talk.history(talk.contractor))["items"][0] == edited
    (row,) = await market.rows(Message, _id=sent["id"])
    assert [each.text for each in row.history] == ["Tuesday"]
    assert (await listed(talk.contractor))[0]["last_message"]["text"] == "Fine"


async def test_only_the_author_edits_a_message_within_limits(market: Market) -> None:
    """Guard: `author_id` in `_get_undeleted`, EDITABLE and MAX_CHANGES in `edit`."""
    talk = await meet(market)
    sent = await talk.say(talk.customer, "Tuesday")
    other = await meet(market, talk.customer)
    before = await market.traces()
    assert await refused_change(talk, talk.contractor, "edit", sent, text="Never") == "not_found"
    assert await refused_change(talk, talk.contractor, "delete", sent) == "not_found"
    assert await refused_change(other, talk.customer, "edit", sent, text="Elsewhere") == "not_found"
    same = await change(talk, talk.customer, "edit", sent, text="Tuesday")
    assert same == sent
    assert await market.traces() == before
    uow = market.store.single()
    await uow.change(Message, sent["id"], created_at=uow.now - EDITABLE - timedelta(minutes=1))
    assert await refused_change(talk, talk.customer, "edit", sent, text="Late") == "conflict"
    fresh = await talk.say(talk.customer, "0")
    for n in range(MAX_CHANGES):
        await change(talk, talk.customer, "edit", fresh, text=f"{n + 1}")
    assert await refused_change(talk, talk.customer, "edit", fresh, text="One more") == "conflict"


async def test_earlier_contents_of_a_message_are_limited_in_bytes(market: Market) -> None:
    """Guard: MAX_CHANGED_BYTES in `messages._append_history`: each change writes all of them."""
    talk = await meet(market)
    sent = await talk.say(talk.customer, "0")
    for n in range(6):
        await change(talk, talk.customer, "edit", sent, text="\U0001f600" * 3999 + str(n))
    assert await refused_change(talk, talk.customer, "edit", sent, text="Short") == "conflict"
    await change(talk, talk.customer, "delete", sent)


async def test_changes_missed_while_disconnected_are_synced(market: Market) -> None:
    """Guard: the conversation's `revision`, which each change increments in its transaction."""
    talk = await meet(market)
    first, second = [await talk.say(talk.customer, text) for text in ("One", "Two")]
    edited = await change(talk, talk.customer, "edit", first, text="1")
    assert await changes(talk, talk.contractor, 0) == {"items": [edited], "revision": 1}
    deleted = await change(talk, talk.customer, "delete", second)
    again = await change(talk, talk.customer, "edit", first, text="One!")
    assert await changes(talk, talk.contractor, 1) == {"items": [deleted, again], "revision": 3}
    assert await changes(talk, talk.contractor, 3) == {"items": [], "revision": 3}
    stranger = await market.contractor()
    asked = {"conversations": {}, "revisions": {talk.id: 0}}
    assert await refused(stranger, "sync", asked) == "not_found"


async def test_a_deleted_message_is_hidden_everywhere_and_kept(market: Market) -> None:
    """Guard: `text=""` and `terms=()` in `delete`, and the preview that `_change_message`
    updates."""
    talk = await meet(market)
    sent = await talk.say(talk.customer, "My password is hunter2")
    answer = await talk.say(talk.contractor, "Take that back!", reply_to=sent["id"])
    assert answer["reply_to"] == {"id": sent["id"], "seq": 1, "author_id": talk.customer.id}
    last = await talk.say(talk.customer, "hunter2, you mean?", client_id="c-1")
    for message in (sent, last):
        deleted = await change(talk, talk.customer, "delete", message)
        assert (deleted["text"], deleted["deleted_at"] is None, deleted["seq"]) == (
            "",
            False,
            message["seq"],
        )
        await talk.contractor.push(
            "/chat", "message", lambda data, deleted=deleted: data == deleted
        )
        assert await refused_change(talk, talk.customer, "delete", message) == "not_found"
        assert (
            await refused_change(talk, talk.customer, "edit", message, text="Again") == "not_found"
        )
        reply = {"conversation_id": talk.id, "text": "?", "reply_to": message["id"]}
        assert await refused(talk.contractor, "send", reply) == "not_found"
    for party in (talk.customer, talk.contractor):
        seen = [
            await talk.history(party),
            await listed(party),
            await talk.sync(party, 0),
            await changes(talk, party, 0),
            await search(party, "hunter2"),
        ]
        assert "hunter2" not in str(seen)
        assert (await listed(party))[0]["last_message"]["text"] == ""
    kept = [row.history[0].text for row in await market.rows(Message) if row.history]
    assert kept == ["My password is hunter2", "hunter2, you mean?"]
    repeated = await talk.say(talk.customer, "hunter2, you mean?", client_id="c-1")
    assert (repeated["id"], repeated["text"]) == (last["id"], "")


async def test_a_late_preview_does_not_restore_deleted_text(market: Market, server: Server) -> None:
    """Guard: `seq` and `revision` come first in LastMessage, and `raise_fields` only raises it:
    the preview of a message may be written after its deletion."""
    talk = await meet(market)
    sent = await talk.say(talk.customer, "Tuesday")
    await change(talk, talk.customer, "delete", sent)
    uow = server.store.single()
    late = LastMessage(
        seq=1, author_id=talk.customer.id, text="Tuesday", at=uow.now + timedelta(days=1)
    )
    await uow.raise_fields(Conversation, [({"_id": talk.id}, {"last_message": late})])
    assert (await listed(talk.contractor))[0]["last_message"]["text"] == ""


# -- replies and reactions -----------------------------------------------------------------------


async def test_a_reply_names_a_message_of_its_own_conversation(market: Market) -> None:
    """Guard: `_can_be_answered` in group_commit.py."""
    talk = await meet(market)
    other = await meet(market, talk.customer)
    elsewhere = await other.say(talk.customer, "Elsewhere")
    before = await market.traces()
    for id in (elsewhere["id"], "msg_none"):
        fields = {"conversation_id": talk.id, "text": "Yes", "reply_to": id}
        assert await refused(talk.customer, "send", fields) == "not_found"
    assert await market.traces() == before


async def test_reactions_are_added_and_removed(market: Market) -> None:
    """Guard: `others` in `react`: a user is listed once for each emoji and removes only an own
    reaction."""
    talk = await meet(market)
    sent = await talk.say(talk.customer, "Done!")
    for party in (talk.customer, talk.contractor, talk.contractor):
        reacted = await change(talk, party, "react", sent, emoji="👍")
    both = [talk.customer.id, talk.contractor.id]
    assert reacted["reactions"] == [{"emoji": "👍", "user_ids": both}]
    assert reacted["revision"] == 2  # the repeat changed nothing
    await talk.customer.push("/chat", "message", lambda data: data == reacted)
    reacted = await change(talk, talk.contractor, "react", sent, emoji="👍", on=False)
    assert reacted["reactions"] == [{"emoji": "👍", "user_ids": both[:1]}]
    for word in ("two words", "ok", "✓", "1", "👍👍", "😀\u200d😀", "🇽🇽", "\ufe0f"):
        assert await refused_change(talk, talk.customer, "react", sent, emoji=word) == "invalid"
    for sign in "🐀🐁🐂🐃🐄🐅🐆🐇🐈🐉🐊🐋🐌🐍🐎🐏🐐🐑🐒🐓"[: MAX_EMOJIS - 1]:
        await change(talk, talk.contractor, "react", sent, emoji=sign)
    assert await refused_change(talk, talk.contractor, "react", sent, emoji="🐘") == "conflict"


async def test_one_emoji_has_one_form(market: Market) -> None:
    """Guard: `emoji.one_form` in `Emoji` and `react`; words of earlier days can be taken away."""
    talk = await meet(market)
    sent = await talk.say(talk.customer, "Done!")
    old = [{"emoji": sign, "user_ids": [talk.customer.id]} for sign in ("❤", "ok")]
    messages = market.store.database["messages"]
    await messages.update_one({"_id": sent["id"]}, {"$set": {"reactions": old}})
    for written in ("❤", "❤\ufe0e", "❤️"):
        reacted = await change(talk, talk.contractor, "react", sent, emoji=written)
    both = [talk.customer.id, talk.contractor.id]
    kept, words = reacted["reactions"]
    assert (kept, words) == ({"emoji": "❤️", "user_ids": both}, old[1])
    reacted = await change(talk, talk.customer, "react", sent, emoji="ok", on=False)
    assert reacted["reactions"] == [kept]
    for sign in (
        "👩🏽\u200d❤\u200d💋\u200d👨🏾",
        "🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",
        "1️⃣",
    ):
        await change(talk, talk.customer, "react", sent, emoji=sign)


# -- search --------------------------------------------------------------------------------------


async def test_search_covers_only_the_users_own_conversations(market: Market) -> None:
    """Guard: `conversation_id` in the filter of `messages.find`, and its order, newest first."""
    talk = await meet(market)
    other = await meet(market, talk.customer)
    for each, text in (
        (talk, "The red paint is ready"),
        (other, "Paint it red, please"),
        (talk, "Blue paint"),
    ):
        await each.say(each.contractor, text)
    assert await search(talk.customer, "red PAINTING") == [
        "Paint it red, please",
        "The red paint is ready",
    ]
    assert await search(talk.customer, "paint", conversation_id=other.id) == [
        "Paint it red, please"
    ]
    assert await search(talk.contractor, "paint") == ["Blue paint", "The red paint is ready"]
    assert await search(talk.customer, "the") == ["The red paint is ready"]
    assert await search(talk.customer, "👍") == []
    first = await talk.customer.call("/chat", "search", {"q": "paint", "limit": 2})
    rest = {"q": "paint", "limit": 2, "cursor": first["next_cursor"]}
    assert await search(talk.customer, **rest) == ["The red paint is ready"]
    fields = {"q": "paint", "conversation_id": talk.id}
    assert await refused(other.contractor, "search", fields) == "not_found"
    assert await search(await market.contractor(), "paint") == []


# A sentence, words that find it, and words that do not.
SENTENCES = [
    ("Who is it? I am who I am.", "WHO it", "his"),
    ("明天可以修理厨房的水管吗", "水管 修理", "管水"),
    ("犬", "犬", "木"),
    ("ガラス窓を拭いてください", "窓 ガラス", "カラス"),
    ("사과를 샀어요", "사과", "배"),
    ("ฉันต้องการช่างประปา", "ช่าง", "ไฟ"),
    ("मुझे हिन्दी में लिखो", "हिन्दी", "हद"),
    ("كَتَبَ مُحَمَّد رسالة", "محمد", "أحمد"),
    ("שָׁלוֹם לכולם", "שלום", "של"),
    ("Завтра в девять часов", "девять в", "десять"),
    ("Ποιος θα έρθει;", "ερθει", "ερω"),
    ("Łódź liegt nicht in Österreich, naïve!", "lodz osterreich NAIVE", "ostern"),
    ("iPhone15を買う", "iphone15 買う", "phone"),
    (" ".join(f"word{number}" for number in range(500)), "word499 word61", "word500"),
    (" ".join(f"word{number}" for number in range(150)) + " invoices", "invoice", "receipt"),
]


async def test_every_word_of_a_message_is_found(market: Market) -> None:
    """Guard: `search_terms.message_terms` and `query_terms`: frequent words, the last of many, and
    words of scripts without spaces."""
    talk = await meet(market)
    for text, _, _ in SENTENCES:
        await talk.say(talk.customer, text)
    for text, query, missing in SENTENCES:
        assert await search(talk.contractor, query) == [text], query
        assert await search(talk.contractor, missing, conversation_id=talk.id) == [], missing
    longest = "".join(map(chr, range(0x4E00, 0x4E00 + 4000)))
    assert len(message_terms(longest)) == 7999 <= MAX_TERMS
    shortest = " ".join(map(chr, range(0x4E00, 0x4E00 + 2000)))
    assert len(message_terms(shortest)) == 2000


async def test_messages_of_earlier_versions_get_all_their_terms(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `search_backfill.fill_message_terms`, which goes on where it has stopped, and which a
    damaged message does not stop."""
    for name, value in (("BATCH", 2), ("BATCHES", 1), ("VERSION", 99)):
        monkeypatch.setattr(search_backfill, name, value)
    talk = await meet(market)
    sent = [await talk.say(talk.customer, f"The {number}") for number in ("one", "two", "three")]
    await market.settled()
    uow = market.store.single()
    for message in sent:
        old = server.ports.store.codec.seal(Message, message["id"], {"terms": []})
        await uow.set_stored(Message, [({"_id": message["id"]}, old)])
    for found in (["The two", "The one"], ["The three", "The two", "The one"]):
        assert await search(talk.customer, "the") != found
        await search_backfill.fill_message_terms(server.ports)
        assert await search(talk.customer, "the") == found
    assert await search_backfill.fill_message_terms(server.ports) == 0
    assert [each.version for each in await market.rows(Message)] == [1, 1, 1]

    monkeypatch.setattr(search_backfill, "VERSION", 100)
    await uow.set_stored(Message, [({"_id": sent[2]["id"]}, old)])
    await uow.set_stored(Message, [({"_id": sent[1]["id"]}, {"author_id": 7})])
    await search_backfill.fill_message_terms(server.ports)
    await search_backfill.fill_message_terms(server.ports)
    assert await search(talk.customer, "the") == ["The three", "The one"]


async def test_an_edited_message_is_found_by_its_new_text(market: Market) -> None:
    """Guard: `terms` in `edit`."""
    talk = await meet(market)
    sent = await talk.say(talk.customer, "Primer on Tuesday")
    await change(talk, talk.customer, "edit", sent, text="Varnish on Tuesday")
    assert await search(talk.contractor, "primer") == []
    assert await search(talk.contractor, "varnish tuesday") == ["Varnish on Tuesday"]


async def test_a_search_examines_only_matching_messages(server: Server) -> None:
    """Guard: the index of `Message` that begins with the conversation and its terms.

    For several conversations the embedded server uses this index only with a hint.
    """
    uow, random_source = server.store.single(), random.Random(7)
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
                terms=message_terms(" ".join(chosen)),
            )
            for n in range(800)
            if (chosen := random_source.choices(words, k=8))
        ]
    )
    ((word, *_),) = query_terms("word42")
    twenty = [f"cnv_{n}" for n in range(20)]
    for conversations, hint in (("cnv_0", {}), ({"$in": twenty}, {"hint": INDEX})):
        where = {"conversation_id": conversations, "terms": word}
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


async def test_missed_messages_are_read_with_an_index(
    market: Market, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `documents.any_of` in `history._messages_after` and `group_commit._find_sent_before`,
    and the INDEXES of Message."""
    talk, queries = await meet(market), []

    def recorded(real: Any) -> Any:
        async def read(uow: UnitOfWork, kind: type[Any], where: Any, *args: Any, **how: Any) -> Any:
            if kind is Message and "_id" not in where:
                queries.append(where)
            return await real(uow, kind, where, *args, **how)

        return read

    for name in ("all", "first"):
        monkeypatch.setattr(UnitOfWork, name, recorded(getattr(UnitOfWork, name)))
    sent = await talk.say(talk.customer, "Tuesday", client_id="one")
    assert await talk.say(talk.customer, "Tuesday", client_id="one") == sent
    assert (await talk.sync(talk.contractor, 0))["items"] == [sent]
    await change(talk, talk.customer, "edit", sent, text="Wednesday")
    assert len((await changes(talk, talk.contractor, 0))["items"]) == 1
    assert len(queries) == 3
    for where in queries:
        explained = await server.store.database.command(
            {"explain": {"find": Message.COLLECTION, "filter": where}, "verbosity": "queryPlanner"}
        )
        assert "COLLSCAN" not in str(explained["queryPlanner"]["winningPlan"]), where

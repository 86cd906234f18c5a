"""Files in chat messages: both members read them, and they are deleted with the message."""

import asyncio

from domain.chat.conversation import Message
from tests.domain.chat.test_conversations import listed, meet, refused
from tests.support.file_samples import download, picture, upload
from tests.support.market import Market
from tests.support.one_server import one_server
from tests.support.parties import Party

pytestmark = one_server


async def readers(file: str, *parties: Party) -> list[int]:
    return [(await download(party, file))[0] for party in parties]


async def test_files_are_sent_with_or_without_text(market: Market) -> None:
    """Guard: `attach` with the conversation's members in `_attach_files`, before the message is
    posted: a member who receives it can read its files. Also the file names in `Message.preview`.
    """
    talk = await meet(market)
    other, admin = await market.customer("Olga"), await market.admin()
    photo = await upload(talk.contractor, picture(), "before.png")
    sent = await talk.say(talk.contractor, "Look", file_ids=[photo["id"]])
    assert sent["files"] == [photo]
    push = await talk.customer.pushed("/chat", "message", lambda data: data["files"] != [])
    assert push.data == sent
    assert await readers(photo["id"], talk.customer, talk.contractor, other, admin) == [
        200,
        200,
        404,
        404,
    ]
    plan = await upload(talk.customer, b"Two coats.", "plan.txt")
    fields = {"conversation_id": talk.id, "file_ids": [plan["id"]]}
    alone = await talk.customer.call("/chat", "send", fields)
    assert (alone["text"], alone["files"], alone["seq"]) == ("", [plan], 2)
    assert (await listed(talk.contractor))[0]["last_message"]["text"] == "plan.txt"
    assert await refused(talk.customer, "send", {"conversation_id": talk.id}) == "invalid"


async def test_a_repeated_message_with_files_is_stored_once(market: Market) -> None:
    """Guard: `attach` names the conversation, not the message; `files` in `Draft.is_of`."""
    talk = await meet(market)
    photo = await upload(talk.contractor, picture())
    again = {"client_id": "c1", "file_ids": [photo["id"]]}
    both = await asyncio.gather(*(talk.say(talk.contractor, "Look", **again) for _ in range(2)))
    later = await talk.say(talk.contractor, "Look", **again)
    assert both[0] == both[1] == later
    fields = {"conversation_id": talk.id, "text": "Look", "client_id": "c1"}
    assert await refused(talk.contractor, "send", fields) == "request_id_reused"
    assert len(await market.rows(Message, conversation_id=talk.id)) == 1


async def test_files_of_others_and_foreign_conversations_are_refused(market: Market) -> None:
    """Guard: `owner_id` and `attached_to` in `file.attach`, and `_get_writable` in the same
    transaction: a refused message is not sent, and its files are not attached."""
    talk, elsewhere = await meet(market), await meet(market, name="Carl")
    theirs = await upload(talk.customer, picture())
    fields = {"conversation_id": talk.id, "file_ids": [theirs["id"]]}
    assert await refused(talk.contractor, "send", fields) == "not_found"
    own = await upload(elsewhere.contractor, picture())
    stranger = {"conversation_id": talk.id, "file_ids": [own["id"]]}
    assert await refused(elsewhere.contractor, "send", stranger) == "not_found"
    await elsewhere.say(elsewhere.contractor, "Here", file_ids=[own["id"]])
    assert await readers(own["id"], talk.customer, elsewhere.customer) == [404, 200]
    assert await market.rows(Message, conversation_id=talk.id) == []


async def test_files_of_a_deleted_message_are_readable_by_administrators_only(
    market: Market,
) -> None:
    """Guard: the second `attach`, in `chat.messages.delete`; `files` of `EarlierContent`."""
    talk, admin = await meet(market), await market.admin()
    photo = await upload(talk.contractor, picture())
    sent = await talk.say(talk.contractor, "Look", file_ids=[photo["id"]])
    fields = {"conversation_id": talk.id, "message_id": sent["id"]}
    deleted = await talk.contractor.call("/chat", "delete", fields)
    assert (deleted["text"], deleted["files"]) == ("", [])
    assert await readers(photo["id"], talk.customer, admin) == [404, 200]
    (row,) = await market.rows(Message, _id=sent["id"])
    assert [file.id for file in row.history[0].files] == [photo["id"]]

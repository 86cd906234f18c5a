"""Files: upload, attachment, access, download, quotas, and the removal of unattached files."""

import asyncio
import io
import json
import os
import threading
from datetime import timedelta

import msgspec
import obstore
import pytest
from obstore.store import MemoryStore
from PIL import Image

from domain.files import file as files
from domain.files.file import File, Received, State, Upload, attach, sweep
from domain.files.gridfs import CHUNK, GridChunk, GridFile, GridFs
from domain.kernel.actor import Actor, Role
from domain.kernel.errors import Conflict, NotFound, Unavailable
from domain.kernel.rooms import role_room
from server.adapters.s3 import S3Blobs, bucket
from server.runtime.spool import PIECE, Spool
from tests.support.file_samples import download, picture, try_upload, upload
from tests.support.one_server import one_server, own_server
from tests.support.processes import free_port

pytestmark = one_server

TEXT = b"0123456789" * 100


async def nothing_is_stored(market) -> bool:
    """Neither rows nor bytes are left."""
    return [await market.rows(kind) for kind in (File, GridFile, GridChunk)] == [[], [], []]


async def shift_age(market, by: timedelta) -> None:
    """Make all files older by `by`."""
    for file in await market.rows(File):
        await market.store.single().change(File, file.id, created_at=file.created_at - by)


# -- attachment ------------------------------------------------------------------------------


@own_server
async def test_the_customer_reads_the_files_of_a_delivery(market):
    """Guard: `attach` in `deliver`, and `readable` in `file.get`: the customer reads the
    files after the delivery and not before; other users never do."""
    deal = await market.accepted_job()
    await market.start(deal.contractor, deal.job)
    photo = await upload(deal.contractor, picture("JPEG"), "Fence.JPG")
    plan = await upload(deal.contractor, TEXT, "plan.txt")
    assert (photo["type"], photo["width"], photo["height"]) == ("image/jpeg", 640, 400)
    assert photo["thumbnail"] and not plan["thumbnail"]
    assert (await download(deal.customer, photo["id"]))[0] == 404
    job = await deal.contractor.call(
        "/job",
        "deliver",
        {
            "job_id": deal.job["id"],
            "note": "Done.",
            "file_ids": [photo["id"], plan["id"]],
        },
    )
    assert job["delivery_files"] == [photo, plan]
    status, headers, body = await download(deal.customer, plan["id"])
    assert (status, body, headers["Content-Type"]) == (200, TEXT, "text/plain; charset=utf-8")
    assert await market.store.single().count(File, {"attached_to": job["id"]}) == 2
    for who in (await market.admin(), await market.contractor("Otto")):
        assert (await download(who, plan["id"]))[0] == 404
    assert (await download(market.anonymous_client(), plan["id"]))[0] == 401


@own_server
async def test_administrators_read_evidence(market):
    """Guard: `role:admin` among the readers that `dispute_evidence` names."""
    deal = await market.accepted_job()
    await market.start(deal.contractor, deal.job)
    dispute = await deal.customer.call(
        "/payment",
        "dispute_open",
        {
            "job_id": deal.job["id"],
            "reason": "quality",
            "text": "It is still raw wood.",
        },
    )
    photo = await upload(deal.customer, picture("WEBP"), "raw.webp")
    shown = await deal.customer.call(
        "/payment",
        "dispute_evidence",
        {
            "dispute_id": dispute["id"],
            "text": "Look.",
            "file_ids": [photo["id"]],
        },
    )
    assert shown["timeline"][-1]["attachments"] == [photo]
    for who in (deal.customer, deal.contractor, await market.admin()):
        assert (await download(who, photo["id"]))[0] == 200
    assert (await download(await market.customer("Olga"), photo["id"]))[0] == 404


async def test_a_file_is_attached_to_one_object(market):
    """Guard: the filter for the owner and `free` in `attach`; a repeat for the same object
    succeeds."""
    owner, other = await market.customer(), await market.customer("Olga")
    file = await upload(owner, TEXT, "a.txt")
    first, second = [await upload(owner, TEXT, f"{n}.txt") for n in (1, 2)]
    uow = market.store.single()
    seen = await attach(uow, [second["id"], file["id"]], owner.id, "msg_1", [other.id])
    assert [each.id for each in seen] == [second["id"], file["id"]]
    assert await attach(uow, [second["id"], file["id"]], owner.id, "msg_1", [other.id]) == seen
    for ids, who, to, refused in (
        ([first["id"], file["id"]], owner.id, "msg_2", Conflict),
        ([first["id"], file["id"]], other.id, "msg_1", NotFound),
        ([first["id"], "file_none"], owner.id, "msg_2", NotFound),
    ):
        with pytest.raises(refused):
            await market.store.transact(
                lambda uow, ids=ids, who=who, to=to: attach(uow, ids, who, to, [])
            )
        with pytest.raises(refused):
            await attach(uow, ids, who, to, [])
    assert (await uow.get(File, first["id"])).attached_to is None
    assert await attach(uow, [], owner.id, "msg_3", []) == ()


async def test_a_repeated_attach_replaces_the_readers(market):
    """Guard: `readers=readers` in `file.attach`: a repeat for the same object replaces the readers,
    so the files of a deleted message are left to their owner and the administrators."""
    author, member = await market.contractor(), await market.customer()
    other, admin = await market.customer("Olga"), await market.admin()
    id = (await upload(author, picture()))["id"]
    uow = market.store.single()

    async def readers() -> list[int]:
        return [(await download(who, id))[0] for who in (author, member, other, admin)]

    for names, seen in (
        ([author.id, member.id], [200, 200, 404, 404]),
        ([author.id, member.id], [200, 200, 404, 404]),
        ([role_room(Role.ADMIN)], [200, 404, 404, 200]),
    ):
        await attach(uow, [id], author.id, "cnv_1", names)
        assert await readers() == seen
    with pytest.raises(Conflict):
        await attach(uow, [id], author.id, "cnv_2", [other.id])


# -- download --------------------------------------------------------------------------------


async def test_ranges_and_etags(market):
    """Guard: `downloads._select_range`."""
    owner = await market.customer()
    id = (await upload(owner, TEXT, "a.txt"))["id"]
    status, headers, _ = await download(owner, id)
    tag = headers["ETag"]
    assert (status, headers["Content-Length"], headers["Accept-Ranges"]) == (200, "1000", "bytes")
    for asked, expected, span in (
        ("bytes=0-3", TEXT[:4], "0-3"),
        ("bytes=995-", TEXT[995:], "995-999"),
        ("bytes=-5", TEXT[-5:], "995-999"),
        ("bytes=990-2000", TEXT[990:], "990-999"),
        ("bytes=-2000", TEXT, "0-999"),
    ):
        status, headers, body = await download(owner, id, Range=asked)
        assert (status, body, headers["Content-Range"]) == (206, expected, f"bytes {span}/1000")
    for asked in ("bytes=1000-", "bytes=-0"):
        status, headers, body = await download(owner, id, Range=asked)
        assert (status, headers["Content-Range"]) == (416, "bytes */1000")
        assert json.loads(body)["status"] == 416
    for asked in ("bytes=5-2", "bytes=-", "bytes=0-1,3-4", "lines=1-2", "bytes=x-y"):
        assert (await download(owner, id, Range=asked))[::2] == (200, TEXT), asked
    assert (await download(owner, id, Range="bytes=0-3", If_Range=tag))[0] == 206
    assert (await download(owner, id, Range="bytes=0-3", If_Range='"old"'))[0] == 200
    for known in (tag, f'"x", W/{tag}', "*"):
        assert (await download(owner, id, If_None_Match=known))[::2] == (304, b"")
    assert (await download(owner, id, If_None_Match='"x"'))[0] == 200


async def test_ranges_across_chunks(market):
    """Guard: the first and last chunk in `GridFs.read`; a chunk is 255 KiB, and two are read at
    once."""
    owner = await market.customer()
    data = b"".join(b"line %d\n" % n for n in range(160_000))
    assert len(data) > 5 * CHUNK
    id = (await upload(owner, data, "long.txt"))["id"]
    for start, end in ((0, len(data)), (CHUNK - 1, CHUNK + 1), (CHUNK, 5 * CHUNK), (10, 11)):
        _, _, body = await download(owner, id, Range=f"bytes={start}-{end - 1}")
        assert body == data[start:end]
    assert [row.length for row in await market.rows(GridFile)] == [len(data)]


async def test_downloads_are_never_executed_by_a_browser(market):
    """Guard: `downloads._headers`; a page can still show a picture."""
    owner = await market.customer()
    for file in (await upload(owner, TEXT, "a.txt"), await upload(owner, picture())):
        _, headers, _ = await download(owner, file["id"])
        assert headers["Content-Disposition"].startswith("attachment; ")
        assert headers["X-Content-Type-Options"] == "nosniff"
        policy = headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "base-uri 'none'", "sandbox"} <= set(policy)
        assert headers["Cache-Control"] == "private, no-cache"


async def test_pictures_have_thumbnails(market):
    """Guard: `draw` in file_inspector_process.py; a file without a thumbnail is not found in that
    size."""
    owner = await market.customer()
    photo = await upload(owner, picture("JPEG", (3000, 2000)), "photo.jpg")
    status, headers, body = await download(owner, photo["id"], size="thumb")
    assert (status, headers["Content-Type"]) == (200, "image/webp")
    assert Image.open(io.BytesIO(body)).size == (320, 213)
    full = await download(owner, photo["id"])
    assert Image.open(io.BytesIO(full[2])).size == (3000, 2000)
    assert full[1]["ETag"] != headers["ETag"]
    text = await upload(owner, TEXT, "a.txt")
    assert (await download(owner, text["id"], size="thumb"))[0] == 404
    assert (await download(owner, text["id"], size="huge"))[0] == 422


async def test_a_ticket_is_valid_for_one_file_one_minute_and_one_session(market, server):
    """Guard: the type and the `file` of a ticket in `AccessTokens.holder`, `exp`, `_must_be_alive`,
    and `readable` in both `file.ticket` and `file.get`."""
    owner, anonymous = await market.customer(), market.anonymous_client()
    first, second = await upload(owner, picture()), await upload(owner, picture())
    status, answer = await owner.http("POST", f"/api/files/{first['id']}/ticket", {})
    assert status == 200
    assert (await download(anonymous, first["id"], answer["ticket"]))[0] == 200
    assert (await download(anonymous, first["id"], answer["ticket"], size="thumb"))[0] == 200
    assert (await download(anonymous, second["id"], answer["ticket"]))[0] == 401
    # An access token is not a ticket.
    assert (await download(anonymous, first["id"], owner.token))[0] == 401
    bearer = {"Authorization": f"Bearer {answer['ticket']}"}
    assert (await anonymous.http("GET", "/api/account/me", headers=bearer))[0] == 401
    tokens = server.web.tokens
    late, _ = tokens.ticket(as_actor(owner), first["id"], -timedelta(seconds=1))
    assert (await download(anonymous, first["id"], late))[0] == 401
    other = await market.customer("Olga")
    assert (await other.http("POST", f"/api/files/{first['id']}/ticket", {}))[0] == 404
    forced, _ = tokens.ticket(as_actor(other), first["id"], timedelta(minutes=1))
    assert (await download(anonymous, first["id"], forced))[0] == 404
    await owner.http("POST", "/api/account/logout", {})
    assert (await download(anonymous, first["id"], answer["ticket"]))[0] == 401


async def test_a_ticket_is_refused_by_other_routes(market):
    """Guard: `admit` receives the file id of the path, never one of the query."""
    owner = await market.customer()
    id = (await upload(owner, TEXT, "a.txt"))["id"]
    _, answer = await owner.http("POST", f"/api/files/{id}/ticket", {})
    query = f"ticket={answer['ticket']}&file_id={id}"
    status, _ = await market.anonymous_client().http("GET", f"/api/wallet/statement.csv?{query}")
    assert status == 401


def as_actor(party) -> Actor:
    return Actor(party.id, party.role, party.refresh_token.partition(".")[0])


# -- quotas and removal ----------------------------------------------------------------------


async def test_uploads_beyond_the_quota_are_refused(market, monkeypatch):
    """Guard: both calls of `check_room`: before the body is read, and after the row is written."""
    owner = await market.customer()
    await upload(owner, TEXT, "a.txt")
    before = await market.traces()
    for name, most in (("MAX_BYTES", 1500), ("MAX_FILES", 1)):
        with monkeypatch.context() as patch:
            patch.setattr(files, name, most)
            status, problem = await try_upload(owner, TEXT, "b.txt")
            assert (status, problem["code"]) == (409, "quota_exceeded")
    assert await market.traces() == before
    with monkeypatch.context() as patch:
        patch.setattr(files, "MAX_BYTES", 3500)
        answers = await asyncio.gather(*(try_upload(owner, TEXT, "c.txt") for _ in range(4)))
    assert sum(status == 200 for status, _ in answers) <= 2
    kept = await market.rows(File)
    assert sum(file.size for file in kept) <= 3500
    assert {file.state for file in kept} == {State.KEPT}


async def test_old_unattached_files_are_removed(market, server):
    """Guard: the two ages in `sweep`; attached files stay."""
    owner = await market.customer()
    unattached, attached = await upload(owner, picture()), await upload(owner, TEXT, "a.txt")
    await attach(market.store.single(), [attached["id"]], owner.id, "msg_1", [])
    assert await sweep(server.ports) == 0
    await shift_age(market, files.ATTACHED_WITHIN)
    assert await sweep(server.ports) == 1
    assert (await download(owner, unattached["id"]))[0] == 404
    assert [file.id for file in await market.rows(File)] == [attached["id"]]
    assert {chunk.files_id for chunk in await market.rows(GridChunk)} == {attached["id"]}
    assert (await download(owner, attached["id"]))[2] == TEXT


async def test_more_unattached_files_than_one_chunk_are_removed(market, server, monkeypatch):
    """Guard: the loop in `file.sweep`, which runs until a round removes nothing; and
    `first_readable` in it: a damaged file stays, and does not stop the others."""
    monkeypatch.setattr(files, "CHUNK", 2)
    owner = await market.customer()
    for number in range(5):
        await upload(owner, TEXT, f"{number}.txt")
    await shift_age(market, files.ATTACHED_WITHIN)
    uow = market.store.single()
    long_ago = uow.now - 2 * files.ATTACHED_WITHIN
    damaged = {"_id": "fil_0", "state": "kept", "attached_to": None, "created_at": long_ago}
    await uow.put(File, [damaged])
    assert await sweep(server.ports) == 5
    assert await uow.remove(File, {"_id": "fil_0"}) == 1
    assert await nothing_is_stored(market)


@pytest.mark.parametrize("how", ["unreachable", "cancelled", "slow"])
async def test_bytes_that_arrive_after_a_failed_upload_are_removed(
    market, server, monkeypatch, how
):
    """Guard: `upload` keeps the row of an upload that failed while it was stored: the store may
    still be writing, so only `sweep` removes it; STORING_SECONDS."""
    owner, late, started = await market.customer(), [], asyncio.Event()

    async def fail_to_store(ports, file, found) -> None:
        late.append(file.id)
        started.set()
        if how == "unreachable":
            raise Unavailable
        await asyncio.sleep(3600)

    monkeypatch.setattr(files, "_store", fail_to_store)
    monkeypatch.setattr(files, "STORING_SECONDS", 0.1 if how == "slow" else 600.0)
    with Spool() as spool:
        await spool.write(TEXT)
        await spool.flush()
        work = files.upload(Upload(), as_actor(owner), server.ports, Received("a.txt", spool))
        uploading = asyncio.create_task(work)
        await started.wait()
        if how == "cancelled":
            uploading.cancel()
        with pytest.raises((Unavailable, asyncio.CancelledError)):
            await uploading
    await GridFs(market.store)._add(late[0], 0, TEXT)
    assert (await download(owner, late[0]))[0] == 404
    assert await sweep(server.ports) == 0
    await shift_age(market, files.STORED_WITHIN)
    assert await sweep(server.ports) == 1
    assert await nothing_is_stored(market)


async def test_a_file_is_closed_only_after_its_writing_thread_has_finished(monkeypatch):
    """Guard: `run_to_completion` in `Spool`: the descriptor of a closed file is soon reused."""
    inside, go_on = threading.Event(), threading.Event()

    def write_slowly(file: int, piece: bytes) -> None:
        inside.set()
        go_on.wait(30)
        assert os.fstat(file)

    monkeypatch.setattr("server.runtime.spool._write_all", write_slowly)
    with Spool() as spool:
        writing = asyncio.create_task(spool.write(bytes(PIECE)))
        await asyncio.to_thread(inside.wait, 30)
        writing.cancel()
        assert not (await asyncio.wait({writing}, timeout=0.1))[0]
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await writing


# -- a bucket --------------------------------------------------------------------------------


@own_server
async def test_files_are_stored_in_a_bucket(market, server):
    """Guard: S3Blobs; the bytes are in the bucket and not in the database."""
    kept = MemoryStore()
    server.web.ports = msgspec.structs.replace(server.web.ports, blobs=S3Blobs(kept))
    owner = await market.customer()
    photo = await upload(owner, picture())
    data = b"x" * 7_000_000  # more than one part
    text = await upload(owner, data, "long.txt")
    assert await market.rows(GridChunk) == []
    listed = {row["path"] for rows in obstore.list(kept) for row in rows}
    assert listed == {photo["id"], f"{photo['id']}.thumb", text["id"]}
    assert (await download(owner, text["id"]))[2] == data
    assert (await download(owner, text["id"], Range="bytes=10-19"))[2] == b"x" * 10
    assert (await download(owner, photo["id"], size="thumb"))[0] == 200
    await shift_age(market, files.ATTACHED_WITHIN)
    assert await sweep(server.ports) == 2
    assert [row for rows in obstore.list(kept) for row in rows] == []


@own_server
async def test_an_unreachable_bucket_is_reported_as_unavailable(market, server, monkeypatch):
    """Guard: `_as_unavailable` and RETRIES in s3.py; `downloads.send` reads the first piece before
    it sends headers, so the reader gets an error response."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    owner = await market.customer()
    file = await upload(owner, TEXT, "a.txt")
    unreachable = S3Blobs(bucket("none", f"http://127.0.0.1:{free_port()}", "none"))
    server.web.ports = msgspec.structs.replace(server.web.ports, blobs=unreachable)
    async with asyncio.timeout(30):
        answers = [await try_upload(owner, TEXT, "b.txt")]
        status, _, body = await download(owner, file["id"])
    answers.append((status, json.loads(body)))
    assert [(status, error["code"]) for status, error in answers] == [(503, "unavailable")] * 2

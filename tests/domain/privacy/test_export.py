"""The export of everything that is stored about a person."""

import io
import json
import zipfile
from datetime import timedelta

from domain.accounts.user import User
from domain.files import file as files
from domain.files.file import File
from domain.privacy.export import EXPORT_LIFE, MakeExport, _keep
from tests.support.file_samples import picture, upload
from tests.support.one_server import one_server, own_server
from tests.support.parties import PASSWORD

pytestmark = one_server


async def exported(market, party) -> dict:
    """The parts of the archive, by name."""
    assert await party.http("POST", "/api/account/export", {"password": PASSWORD}) == (200, {})
    notice = await party.push(
        "/account", "notification", lambda notice: notice["kind"] == "export_ready"
    )
    assert notice["path"] == f"/settings/export/{notice['subject_id']}"
    return unpacked(await downloaded(party, notice["subject_id"]))


async def downloaded(party, file_id) -> bytes:
    headers = {"Authorization": f"Bearer {party.token}"}
    async with party.web.get(f"{party.url}/api/files/{file_id}", headers=headers) as response:
        assert (response.status, response.content_type) == (200, "application/zip")
        return await response.read()


def unpacked(archive: bytes) -> dict:
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        assert packed.testzip() is None
        parts = {name: packed.read(name) for name in packed.namelist()}
    return {
        name.removesuffix(".json"): json.loads(content) if name.endswith(".json") else content
        for name, content in parts.items()
    }


@own_server
async def test_an_export_has_everything_of_its_owner(market, completed_work):
    """Guard: the parts of `export.archive`; a contractor's has other people's jobs, too."""
    work = completed_work
    talk = await work.customer.call(
        "/chat", "open", {"job_id": work.job["id"], "user_id": work.contractor.id}
    )
    said = {"conversation_id": talk["id"], "text": "Thank you."}
    await work.customer.call("/chat", "send", said)
    file_id = (await upload(work.contractor, picture()))["id"]
    stranger = await market.customer("Stranger")
    await market.job(stranger)
    for party in (work.customer, work.contractor):
        parts = await exported(market, party)
        assert parts["profile"][0]["email"] == party.email
        assert [job["id"] for job in parts["jobs"]] == [work.job["id"]]
        for name in ("applications", "offers", "payments", "transactions", "notifications"):
            assert parts[name], name
        assert "Thank you." in [message["text"] for message in parts["messages"]]
        assert "Stranger" not in str(parts) and "password_hash" not in str(parts)
    assert any(name.startswith(f"files/{file_id}/") for name in parts)


async def test_an_export_is_its_owners_alone_and_expires(market, server):
    """Guard: `readable`; `expires_at` in `file._sweep_some`."""
    owner, other = await market.customer(), await market.customer()
    await exported(market, owner)
    [file] = await market.rows(File)
    assert (await other.http("GET", f"/api/files/{file.id}"))[0] == 404
    assert await files.sweep(server.ports) == 0
    past = market.store.clock.now() - timedelta(seconds=1)
    assert file.expires_at > past + EXPORT_LIFE - timedelta(minutes=5)
    await market.store.single().change(File, file.id, expires_at=past)
    assert await files.sweep(server.ports) == 1
    assert (await owner.http("GET", f"/api/files/{file.id}"))[0] == 404


async def test_an_export_that_is_repeated_replaces_its_file(market, server):
    """Guard: `_remove` in `store_generated`, after a crash between two attempts."""
    owner = await market.customer()
    task = MakeExport("file_export", owner.id, market.store.clock.now())
    for _ in range(2):
        await task.run(server.ports)
    [file] = await market.rows(File)
    assert unpacked(await downloaded(owner, file.id))["profile"]


async def test_an_export_requires_the_password(market):
    """Guard: `verify_password` in `export.export`."""
    party = await market.customer()
    status, problem = await party.http(
        "POST", "/api/account/export", {"password": "wrong password"}
    )
    assert (status, problem["code"]) == (401, "wrong_credentials")
    assert await market.tasks("make_export") == []


async def test_an_export_ends_with_its_account(market, server):
    """Guard: `erasure._remove_own`; `deleted_at` in `MakeExport.run`, also for one under way."""
    owner = await market.customer()
    await exported(market, owner)
    task = MakeExport("file_export", owner.id, market.store.clock.now())
    assert (await owner.http("POST", "/api/account/delete", {"password": PASSWORD}))[0] == 200
    await market.settled()
    assert await files.sweep(server.ports) == 1
    assert await market.rows(File) == []
    await task.run(server.ports)
    assert await market.rows(File) == []


async def test_an_export_of_an_account_that_is_deleted_meanwhile_is_not_kept(market, server):
    """Guard: `export._keep`."""
    owner = await market.customer()
    now = market.store.clock.now()
    task = MakeExport("file_export", owner.id, now)
    await task.run(server.ports)
    [file] = await market.rows(File)
    await market.store.single().change(User, owner.id, deleted_at=now)
    await market.store.transact(lambda uow: _keep(uow, file))
    assert await files.sweep(server.ports) == 1

"""The audit log: who changed or read what, without secrets, names and messages."""

import msgspec
import pytest

from domain.kernel.record import Record
from domain.operations.command import Command
from domain.registry import RECORDS
from handlers import NAMESPACES
from tests.support.job_in_progress import JobInProgress
from tests.support.one_server import one_server, own_server
from tests.support.parties import Refused

pytestmark = one_server

SECRETS = {
    "password",
    "new_password",
    "password_hash",
    "refresh_token",
    "access_token",
    "client_secret",
    "redirect_url",
    "token",
}
NAMES = {"email", "name", "headline", "bio", "customer_name", "contractor_name", "q"}
CHAT = {"text", "said", "emoji", "last_message", "history", "terms", "reactions"}

COMMANDS = {each.operation.command for space in NAMESPACES for each in space.exposed}
KINDS: set[type[Record] | type[Command]] = {*COMMANDS, *RECORDS}


def test_secrets_names_and_chats_are_declared() -> None:
    """Guard: `UNLOGGED` and `PERSONAL` of each record and command."""
    for kind in KINDS:
        if not getattr(kind, "LOGGED", True):
            continue
        fields = set(kind.__struct_fields__)
        in_chat = kind.__module__.startswith("domain.chat.")
        assert fields & SECRETS <= kind.UNLOGGED, kind
        assert fields & NAMES <= kind.PERSONAL, kind
        assert not in_chat or fields & CHAT <= kind.UNLOGGED, kind
        assert kind.__name__ == "Upload" or fields >= kind.UNLOGGED | kind.PERSONAL, kind


async def test_a_command_writes_an_audit_row(market, server):
    """Guard: `audit_log.record` in `operation._write`; the earlier values come from
    `Change.before`."""
    customer = await market.customer()
    job = await market.job(customer)
    fields = {"job_id": job["id"], "title": "Paint two fences"}
    await customer.call("/job", "update", fields, request_id="r-1")
    row = (await market.trail())[-1]
    assert (row.actor_id, row.role, row.operation) == (customer.id, "customer", "job.update")
    assert (row.request_id, row.address, row.subjects) == ("r-1", "127.0.0.1", (job["id"],))
    detail = msgspec.json.decode(row.detail)
    assert detail["fields"] == fields
    change = detail["changes"][0]
    assert (change["collection"], change["version"]) == ("jobs", 2)
    assert change["before"]["title"] == "Paint the fence"
    assert change["after"]["title"] == "Paint two fences"
    assert "description" not in change["after"]
    await customer.call("/job", "update", fields, request_id="r-1")
    with pytest.raises(Refused):
        await customer.call("/job", "update", {**fields, "title": ""})
    assert len(await market.trail()) == 2


@own_server
async def test_secrets_and_messages_are_not_logged(market, server):
    """Guard: `UNLOGGED` of the commands and records, and `subjects` of `sign_in.login`."""
    stranger = market.anonymous_client()
    fields = {
        "email": "eve@people.test",
        "password": "correct horse battery",
        "name": "Eve",
        "role": "customer",
    }
    status, answer = await stranger.http("POST", "/api/account/register", fields)
    assert status == 200
    login = {"email": fields["email"], "password": fields["password"]}
    assert (await stranger.http("POST", "/api/account/login", login))[0] == 200
    deal = await market.accepted_job()
    members = {"job_id": deal.job["id"], "user_id": deal.contractor.id}
    conversation = await deal.customer.call("/chat", "open", members)
    message = {"conversation_id": conversation["id"], "text": "My door code is 4711"}
    await deal.customer.call("/chat", "send", message)
    await market.settled()
    rows = await market.trail()
    operations = {row.operation for row in rows}
    assert {"account.register", "account.login", "chat.send", "bidding.create"} <= operations
    assert [r.subjects for r in rows if r.operation == "account.login"] == [(answer["user"]["id"],)]
    details = "".join(row.detail for row in rows)
    for secret in ("correct horse", "4711", "_secret_", answer["refresh_token"], "argon2"):
        assert secret not in details, secret


async def test_personal_data_is_logged_only_as_digests(market, server):
    """Guard: `PERSONAL` of each record and command; a digest shows whether a
    field had a given value."""
    customer = await market.customer("Gerda Gone")
    await market.job(customer)
    await customer.call("/account", "update", {"headline": "Gerda paints"})
    admin = await market.admin()
    await admin.call("/admin", "users", {"q": "gerda@gone.test"})
    rows = await market.trail()
    assert [row.operation for row in rows] == ["job.create", "account.update", "admin.users"]
    details = "".join(row.detail for row in rows).lower()
    assert "gerda" not in details
    changed = msgspec.json.decode(rows[1].detail)["changes"][0]["after"]["headline"]
    assert server.ports.seal.fits(msgspec.json.encode("Gerda paints"), changed["sealed"])


async def test_reads_by_administrators_are_logged(market, server):
    """Guard: `record_read` in `operation._run`."""
    admin = await market.admin()
    await admin.call("/admin", "overview")
    await admin.call("/payment", "list")
    assert [row.operation for row in await market.trail()] == ["admin.overview", "payment.list"]
    listed = await admin.call("/admin", "audit", {"actor_id": admin.id})
    assert [row["operation"] for row in listed["items"]] == ["payment.list", "admin.overview"]
    since = (await market.trail())[1].created_at.isoformat()
    listed = await admin.call("/admin", "audit", {"since": since, "operation": "payment.list"})
    assert [row["operation"] for row in listed["items"]] == ["payment.list"]
    listed = await admin.call("/admin", "audit", {"since": "2099-01-01T00:00:00Z"})
    assert listed["items"] == []


async def test_a_refused_command_leaves_no_row(market, server):
    """Guard: `audit_log.record` in the command's transaction (`operation._write`)."""
    customer = await market.customer()
    fields = {"job_id": "job_none"}
    await JobInProgress(market, server).assert_refused(
        customer, "/job", "cancel", fields, "not_found"
    )

"""Watching a job: the changes that a user may see, and the number of viewers."""

import pytest

from domain.jobs.job import Job
from domain.kernel.rooms import user_room
from tests.conftest import Server, both_paths
from tests.support.market import Market
from tests.support.parties import Json, Party, Refused


async def watch(party: Party, job: Json) -> Json:
    return await party.call("/job", "watch", {"job_id": job["id"]})


async def viewers(party: Party, job: Json, number: int) -> Json:
    """Wait for a push with this number of viewers."""
    expected = {"job_id": job["id"], "viewers": number}
    return await party.push("/job", "job.viewers", lambda pushed: pushed == expected)


@pytest.fixture
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changed numbers are pushed after 0.1 s."""
    monkeypatch.setattr("server.adapters.redis_presence.QUIET_MS", 100)


@both_paths
@pytest.mark.usefixtures("haste")
async def test_viewers_get_changes_and_the_number_of_viewers(market: Market) -> None:
    """Guard: `joins` of `job.watch`, and the push to `job_room` in `publish_job`."""
    owner, customer, other = [await market.customer(name) for name in ("Olga", "Ciro", "Cleo")]
    job = await market.job(owner)
    await market.settled()
    watched = await watch(customer, job)
    assert watched == {"job": job, "viewers": 1}
    await viewers(customer, job, 1)
    assert (await watch(other, job))["viewers"] == 2
    await viewers(customer, job, 2)
    changed = await owner.call("/job", "update", {"job_id": job["id"], "title": "Paint the gate"})
    push = await customer.pushed("/job", "job.updated")
    assert (push.seq, push.data) == (None, changed)
    assert not Job.PRIVATE & push.data.keys()
    await other.call("/job", "unwatch", {"job_id": job["id"]})
    customer.clear_pushes()
    await viewers(customer, job, 1)
    await owner.call("/job", "update", {"job_id": job["id"], "title": "Paint the wall"})
    await customer.push("/job", "job.updated", lambda pushed: pushed["title"] == "Paint the wall")
    assert len(other.received("/job", "job.updated")) == 1


@both_paths
@pytest.mark.usefixtures("haste")
async def test_viewers_are_counted_once_for_all_their_devices(market: Market) -> None:
    """Guard: `seen[user]` in the script COUNT, and `room not in connection.rooms` in
    `Realtime.enter`."""
    owner, customer = await market.customer("Olga"), await market.customer("Ciro")
    phone = await market.sign_in(customer.user)
    job = await market.job(owner)
    for device in (customer, phone, phone):
        assert (await watch(device, job))["viewers"] == 1
    assert (await watch(owner, job))["viewers"] == 2
    await viewers(phone, job, 2)
    await phone.disconnect()
    await owner.disconnect()
    await viewers(customer, job, 1)
    await customer.call("/job", "unwatch", {"job_id": job["id"]})
    assert (await watch(await market.customer("Cleo"), job))["viewers"] == 1


async def test_the_number_of_viewers_is_pushed_at_most_once_a_second(market: Market) -> None:
    """Guard: the quiet marker in the script COUNT, for QUIET_MS after a report."""
    job = await market.job(await market.customer("Olga"))
    crowd = [await market.customer(f"Ciro {number}") for number in range(8)]
    for party in crowd:
        await watch(party, job)
    await viewers(crowd[0], job, 8)
    pushes = crowd[0].received("/job", "job.viewers")
    assert len(pushes) < len(crowd)
    assert {push.seq for push in pushes} == {None}


@pytest.mark.usefixtures("haste")
async def test_other_users_are_only_notified_that_the_job_is_closed(
    market: Market, server: Server
) -> None:
    """Guard: `CLOSED` instead of the job in `publish_job`, `private_job_room` in `_rooms_to_join`,
    and `ends` in `Rooms._deliver_routed`: strangers get nothing more, the number of viewers
    included."""
    owner, stranger, admin = (
        await market.customer("Olga"),
        await market.customer("Ciro"),
        await market.admin(),
    )
    contractor, applicant = await market.contractor(onboarded=True), await market.contractor("Abel")
    job = await market.job(owner)
    await market.application(applicant, job)
    for party in (stranger, admin, applicant):
        await watch(party, job)
    await market.application(contractor, job)
    await market.accept(contractor, await market.offer(owner, contractor, job))
    closed = await stranger.pushed("/job", "job.closed")
    assert (closed.seq, closed.data) == (None, {"job_id": job["id"]})
    for party in (admin, applicant):
        await party.push("/job", "job.closed")
        party.clear_pushes()
        assert (await watch(party, job))["job"]["status"] == "assigned"
    with pytest.raises(Refused, match="not_found"):
        await watch(stranger, job)
    await market.start(contractor, job)
    for party in (admin, applicant):
        await party.push("/job", "job.updated", lambda pushed: pushed["status"] == "in_progress")
    for party in (owner, contractor):
        party.clear_pushes()
        assert (await watch(party, job))["viewers"] >= 3
    stranger.clear_pushes()
    await admin.call("/job", "unwatch", {"job_id": job["id"]})
    await viewers(owner, job, 3)
    note = {"job_id": job["id"], "note": "Done.", "file_ids": []}
    version = (await contractor.call("/job", "deliver", note))["version"]
    for party in (owner, contractor, applicant):
        await party.push("/job", "job.updated", lambda pushed: pushed["version"] == version)
    assert (
        stranger.received("/job", "job.updated") == stranger.received("/job", "job.viewers") == []
    )
    assert not any(job["id"] in room for each in rooms_of(server, stranger) for room in each)


def rooms_of(server: Server, party: Party) -> list[set[str]]:
    return [each.rooms for each in server.web.realtime.rooms.members(user_room(party.id))]


@both_paths
async def test_each_connection_gets_a_change_once(market: Market, server: Server) -> None:
    """Guard: `without` in `publish_job` and `Rooms._deliver_routed`: for a contractor who watches,
    for the sides who watch, and for the one who is chosen."""
    owner, admin = await market.customer("Olga"), await market.admin()
    contractor, other = await market.contractor(onboarded=True), await market.contractor("Abel")
    others = [await market.customer(f"Ciro {number}") for number in range(9)]  # a cached room
    job = await market.job(owner)
    await market.application(contractor, job)
    watching = (owner, admin, contractor, other, *others)
    for party in watching:
        await watch(party, job)
    offer = await market.offer(owner, contractor, job)
    changed = {"job_id": job["id"], "title": "Paint the gate"}
    await owner.call("/job", "update", changed)
    await market.accept(contractor, offer)
    await market.settled()
    for party in (owner, contractor):
        await party.push("/job", "job.updated", lambda pushed: pushed["status"] == "assigned")
    for party in watching:
        versions = [push.data["version"] for push in party.received("/job", "job.updated")]
        assert versions and len(versions) == len(set(versions)), (party.name, versions)

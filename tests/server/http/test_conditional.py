"""Entity tags of single records, and 304 for a client that has the record already."""

import pytest

from server.http.conditional import tag_of
from tests.support.one_server import one_server

pytestmark = one_server


async def read(party, path, known=None):
    headers = {"Authorization": f"Bearer {party.token}"}
    if known is not None:
        headers["If-None-Match"] = known
    async with party.web.get(party.url + path, headers=headers) as response:
        return response.status, response.headers.get("ETag"), await response.read()


async def test_a_record_that_has_not_changed_is_not_sent_again(market):
    """Guard: `routes._conditional`, for every GET that answers one record."""
    customer = await market.customer()
    contractor = await market.contractor(onboarded=True)
    job = await market.job(customer)
    application = await market.application(contractor, job)
    offer = await market.offer(customer, contractor, job)
    for reader, path in (
        (customer, "/api/account/me"),
        (customer, f"/api/job/{job['id']}"),
        (customer, f"/api/job-request/{application['id']}"),
        (contractor, f"/api/bidding/{offer['id']}"),
        (customer, f"/api/payment/{offer['payment_id']}"),
        (contractor, "/api/wallet"),
    ):
        status, tag, body = await read(reader, path)
        assert (status, tag[0], tag[-1]) == (200, '"', '"'), path
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            assert await read(reader, path, known) == (304, tag, b""), path
        assert await read(reader, path, '"other"') == (200, tag, body)


async def test_a_change_and_another_view_have_other_tags(market):
    """Guard: `conditional.tag_of`: the version, and a digest of what this reader sees."""
    customer, contractor = await market.customer(), await market.contractor()
    job = await market.job(customer, location={"lon": 13.41234, "lat": 52.5, "label": "Here"})
    path = f"/api/job/{job['id']}"
    whole, public = [(await read(party, path))[1] for party in (customer, contractor)]
    assert whole != public
    assert whole.startswith(f'"{job["id"]}.1.') and public.startswith(f'"{job["id"]}.1.')
    assert (await read(contractor, path, whole))[0] == 200
    await customer.call("/job", "update", {"job_id": job["id"], "title": "Paint two fences"})
    status, changed, _ = await read(customer, path, whole)
    assert status == 200 and changed.startswith(f'"{job["id"]}.2.')


async def test_a_refusal_is_never_304(market):
    """Guard: the operation runs before `is_known` in `routes._conditional`."""
    customer, other = await market.customer(), await market.customer("Mallory")
    contractor = await market.contractor(onboarded=True)
    job = await market.job(customer)
    await market.application(contractor, job)
    offer = await market.offer(customer, contractor, job)
    path = f"/api/bidding/{offer['id']}"
    _, tag, _ = await read(customer, path)
    for known in (tag, "*"):
        status, sent, _ = await read(other, path, known)
        assert (status, sent) == (404, None)


async def test_lists_have_none(market):
    """Guard: `version` in `conditional.tag_of`."""
    customer = await market.customer(connect=False)
    for path in ("/api/job/mine", "/api/account/sessions"):
        assert (await read(customer, path, "*"))[:2] == (200, None)


@pytest.mark.parametrize("id", ['evt_"x"', "evt_\r\nA: b", "\u00e9" * 5])
def test_a_tag_is_one_token(id):
    """Guard: UNSAFE in `conditional`: ids of Stripe's events are not ours."""
    tag = tag_of("a.b", {"id": id, "version": 3}, b"{}")
    assert tag and tag.isascii() and tag.isprintable() and tag.count('"') == 2

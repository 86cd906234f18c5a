"""When an earlier request is looked for, and what each failure of Stripe means."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from domain.operations.post_once import post_once
from domain.operations.task import TryAgain
from domain.payments.payment_methods import CreateCustomer
from domain.ports.payment_gateway import KEY_LIFETIME, GatewayRefused, StaleFailure

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD = NOW - KEY_LIFETIME - timedelta(seconds=1)
NEXT = CreateCustomer("usr_1", 1)


class Request:
    """A request to Stripe that counts what it did; `earlier` is what an earlier one created."""

    def __init__(self, earlier=None, failure=None):
        self.did = []
        self.earlier, self.failure = earlier, failure

    async def find(self):
        self.did.append("find")
        return self.earlier

    async def post(self):
        self.did.append("post")
        if self.failure:
            raise self.failure
        return "posted"

    async def refused(self, refusal):
        return refusal.code

    async def store_next_key(self):
        self.did.append("next key")

    async def run(self, key=0, since=NOW, next_key=NEXT, refused=None, find_first=False):
        ports = SimpleNamespace(clock=SimpleNamespace(now=lambda: NOW))
        return await post_once(
            ports,
            key=key,
            since=since,
            find=self.find,
            post=self.post,
            next_key=next_key,
            refused=refused,
            find_first=find_first,
        )


@pytest.mark.parametrize("asked", [{"key": 1}, {"since": OLD}, {"find_first": True}])
async def test_an_earlier_request_is_looked_for_first(asked):
    """Guard: the three conditions of `find` in `post_once.post_once`."""
    request = Request(earlier="earlier")
    assert await request.run(**asked) == "earlier"
    assert request.did == ["find"]
    request = Request()
    assert await request.run(**asked) == "posted"
    assert request.did == ["find", "post"]


async def test_the_first_request_is_posted_at_once():
    """Guard: the same conditions; each look would cost one more request to Stripe."""
    request = Request(earlier="earlier")
    assert await request.run(since=NOW - KEY_LIFETIME) == "posted"
    assert request.did == ["post"]


async def test_a_stale_failure_gets_the_next_key():
    """Guard: `next_key` in `post_once.post_repeatable`; the old key repeats its failure."""
    request = Request(failure=StaleFailure("500"))
    with pytest.raises(TryAgain) as again:
        await request.run()
    assert again.value.task == NEXT
    with pytest.raises(TryAgain) as again:
        await request.run(next_key=request.store_next_key)
    assert again.value.task is None
    assert request.did == ["post", "post", "next key"]


async def test_a_definite_refusal_keeps_its_key():
    """Guard: `refused` in `post_once.post_repeatable`."""
    request = Request(failure=GatewayRefused("no", "No."))
    assert await request.run(refused=request.refused) == "no"
    with pytest.raises(GatewayRefused):
        await request.run()
    assert request.did == ["post", "post"]

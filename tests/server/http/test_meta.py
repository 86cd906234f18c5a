"""`GET /api/meta`: what a client needs to know, for anyone and cacheable."""

import gzip
from typing import Any

import pytest
from aiohttp import ClientSession
from msgspec import inspect

from domain.accounts.password_policy import check_password
from domain.files.file import MAX_FILE
from domain.kernel.errors import Invalid, Rule
from domain.kernel.money import CURRENCIES, Schedule
from domain.kernel.settings import Rates
from domain.operations.field_types import FieldType, fields_of
from domain.operations.limits import PASSWORDS_PER_ADDRESS
from handlers.meta import fields, meta, operations
from server.realtime.engine import PING_INTERVAL
from tests.support.market import Market
from tests.support.one_server import one_server

pytestmark = one_server

PATH = "/api/meta"


async def test_anyone_may_read_it_and_keep_it(market: Market) -> None:
    """Guard: `cached_read.cached_read`: public, with a strong tag, and 304 to who has it."""
    stranger = market.anonymous_client()
    async with stranger.web.get(f"{stranger.url}{PATH}") as response:
        answer, headers = await response.json(), response.headers
    assert response.status == 200
    assert headers["Cache-Control"] == "public, max-age=300"
    tag = headers["ETag"]
    assert tag.startswith('"')
    for known, status in ((tag, 304), (f'"other", {tag}', 304), ("*", 304), ('"other"', 200)):
        async with stranger.web.get(
            f"{stranger.url}{PATH}", headers={"If-None-Match": known}
        ) as response:
            assert (response.status, response.headers["ETag"]) == (status, tag)
            assert (await response.read() == b"") is (status == 304)
    assert answer.keys() >= {
        "contract",
        "money",
        "countries",
        "files",
        "fields",
        "rates",
        "realtime",
    }


async def test_it_is_packed_for_clients_that_unpack_it(market: Market) -> None:
    """Guard: `packed._takes_gzip`, and a tag for each form."""
    tags, sizes = {}, {}
    for accepted in ("", "identity", "br, gzip;q=0", "br, gzip", "GZIP; q=0.5"):
        async with ClientSession(auto_decompress=False) as web:
            headers = {"Accept-Encoding": accepted}
            async with web.get(f"{market.url}{PATH}", headers=headers) as response:
                packed = response.headers.get("Content-Encoding") == "gzip"
                assert packed is accepted.endswith(("gzip", "q=0.5"))
                body = await response.read()
                assert b'"contract"' in (gzip.decompress(body) if packed else body)
                assert "Accept-Encoding" in response.headers.getall("Vary")
                tags[packed], sizes[packed] = response.headers["ETag"], len(body)
    assert tags[True] != tags[False]
    assert sizes[True] < sizes[False] / 3


async def test_it_tells_what_this_server_enforces(market: Market, server: Any) -> None:
    """Guard: `meta.server_meta` and `RateTable.described` read what is in force."""
    _, answer = await market.anonymous_client().http("GET", PATH)
    settings = server.web.settings
    assert [each["code"] for each in answer["money"]["currencies"]] == list(settings.currencies)
    assert answer["money"]["platform_fee_bps"] == settings.platform_fee_bps
    assert answer["money"]["service_fee_bps"] == settings.service_fee_bps
    key = settings.stripe_publishable_key
    assert key and answer["payments"] == {
        "stripe_publishable_key": key,
        "methods": list(settings.payment_methods),
        "sandbox": True,
    }
    assert answer["realtime"]["ping_interval_seconds"] == PING_INTERVAL
    assert answer["files"]["max_bytes"] == MAX_FILE
    assert answer["rates"]["all"]["requests"] == 5 * settings.commands_per_second
    rate = server.web.rates.of(PASSWORDS_PER_ADDRESS)
    assert answer["rates"]["operations"]["account.login"][0] == {
        "per": "address",
        "bucket": "password",
        "requests": rate.burst,
        "seconds": rate.slack,
        "cost": 1,
    }


def test_a_deployment_tells_its_own_money() -> None:
    """Guard: `meta._money` tells the currencies that are settled, and no others."""
    rates = Rates(Schedule(250, 75), ("JPY", "KWD"), auto_complete_days=3)
    answer = meta(rates)
    assert answer["money"]["default_currency"] == "JPY"
    assert answer["money"]["currencies"][1] == {
        "code": "KWD",
        "exponent": 3,
        "minimum": CURRENCIES["KWD"].minimum,
        "step": 10,
        "minimum_withdrawal": 0,
    }
    assert answer["money"]["service_fee_bps"] == 75
    assert answer["jobs"]["auto_complete_days"] == 3


def beyond(kind: FieldType, rule: Rule, limit: Any) -> Any:
    """A value that breaks a rule by one."""
    values = {
        Rule.MIN: lambda: limit - 1,
        Rule.ABOVE: lambda: limit,
        Rule.MAX: lambda: limit + 1,
        Rule.MAX_LENGTH: lambda: too_long(kind, limit + 1),
        Rule.CHOICE: lambda: "something else",
    }
    return values[rule]()


def too_long(kind: FieldType, length: int) -> Any:
    if isinstance(kind.type, inspect.StrType):
        return "x" * length
    return (
        {str(n): 1 for n in range(length)}
        if isinstance(kind.type, inspect.DictType)
        else (["x"] * length)
    )


def placed(path: str, value: Any) -> Any:
    """The fields of a command with a value at a path such as `milestones[].amount`."""
    for name in reversed(path.split(".")):
        value = {name.removesuffix("[]"): [value] if name.endswith("[]") else value}
    return value


def test_the_limits_told_are_those_that_refuse() -> None:
    """Guard: `meta.fields`: one more, or one less, is refused with the same rule and limit."""
    checked = 0
    for name, answer in fields().items():
        op = operations()[name]
        for path, kind in fields_of(op.command):
            for rule, limit in answer.get(path, {}).items():
                if rule in ("description", Rule.MIN_LENGTH):
                    continue
                with pytest.raises(Invalid) as refused:
                    op.parse(placed(path, beyond(kind, rule, limit)), text=False)
                found = {"field": path.replace("[]", "[0]"), "rule": rule, "limit": limit}
                assert refused.value.details == found, name
                checked += 1
    assert checked > 200


def test_the_least_length_told_of_a_password_is_the_one_enforced() -> None:
    """Guard: `MIN_LENGTH` of `field_types.FieldType`, from the type of new passwords."""
    least = fields()["account.register"]["password"]["min_length"]
    with pytest.raises(Invalid) as refused:
        check_password("x" * (least - 1), email="a@b.test", name="Ada")
    assert refused.value.details == {"field": "password", "rule": "min_length", "limit": least}

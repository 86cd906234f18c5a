"""The mails of a dev server: shown to clients on its own machine only."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from domain.ports.mail import Mail
from server.adapters.dev_mailbox import KEPT, DevMailbox
from server.adapters.system_clock import SystemClock
from tests.conftest import Installation
from tests.support.market import Market

MAIL = Mail("mail_1", "usr_1", "carla@people.test", "Hi", "http://jobs.test/#/reset/secret <b>\n")


@pytest.fixture
def dev(installation: Installation, tmp_path: Path) -> None:
    installation.settings = msgspec.structs.replace(
        installation.settings, demo=True, data_dir=tmp_path
    )


async def read(market: Market, **headers: str) -> tuple[int, Any]:
    return await market.anonymous_client().http("GET", "/dev/mails", headers=headers)


async def test_a_dev_server_shows_its_mails(dev: None, market: Market, server: Any) -> None:
    """Guard: `dev_mails.mails_route`; the text is escaped, and its links can be followed."""
    party = await market.customer(connect=False)
    with capture_logs() as logs:
        await party.http("POST", "/api/account/reset_request", {"email": party.email})
        await market.settled()
    status, found = await read(market)
    assert status == 200
    [mail] = found["items"]
    assert (mail["to"], mail["subject"]) == (party.email, "Set a new password")
    assert "/#/reset/mtk_" in mail["text"]
    assert "mtk_" not in str([line for line in logs if "mail" in line["event"]])
    await server.ports.mail.send(MAIL)
    status, page = await read(market, Accept="text/html")
    link = "http://jobs.test/#/reset/secret"
    assert f'<a href="{link}">{link}</a> &lt;b&gt;' in page


async def test_nobody_else_reads_them(dev: None, market: Market) -> None:
    """Guard: `_is_local`: not through a proxy, and not by a name that leads here."""
    for headers in (
        {"X-Forwarded-For": "203.0.113.7"},
        {"Forwarded": "for=203.0.113.7"},
        {"Host": "evil.test"},
        {"Host": "localhost.evil.test:8080"},
    ):
        assert (await read(market, **headers))[0] == 404


async def test_other_servers_have_no_such_page(market: Market) -> None:
    """Guard: `demo` in `smtp.mailer`."""
    assert (await read(market))[0] == 404


async def test_only_the_last_mails_are_kept() -> None:
    """Guard: `KEPT` of `DevMailbox.mails`."""
    mailbox = DevMailbox(SystemClock())
    for _ in range(KEPT + 5):
        await mailbox.send(MAIL)
    assert len(mailbox.mails) == KEPT

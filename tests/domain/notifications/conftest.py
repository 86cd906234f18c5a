"""An installation whose mails go to a mail server of the test."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Installation
from tests.support.smtp_server import SmtpServer


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpServer]:
    smtp = await SmtpServer().start()
    yield smtp
    await smtp.stop()


@pytest.fixture
def installation(installation: Installation, smtp: SmtpServer) -> Installation:
    installation.configure(SMTP_URL=smtp.url)
    return installation

"""An installation whose mails go to a mail server of the test."""

from collections.abc import AsyncIterator

import pytest

from server.config import load
from tests.conftest import Installation
from tests.support.job_in_progress import Work
from tests.support.offer_scene import Scene
from tests.support.smtp_server import Post


@pytest.fixture
async def post() -> AsyncIterator[Post]:
    post = await Post().start()
    yield post
    await post.stop()


@pytest.fixture
def installation(installation: Installation, post: Post) -> Installation:
    env = installation.env | {"SMTP_URL": post.url}
    return Installation(env, load(env), installation.sandbox)


@pytest.fixture
async def scene(market, server):
    return await Scene(market, server).set()


@pytest.fixture
async def work(market, server):
    return await Work(market, server).begin()

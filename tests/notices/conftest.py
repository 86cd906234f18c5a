"""An installation whose mails go to a mail server of the test."""

from collections.abc import AsyncIterator

import pytest

from server.config import load
from tests.conftest import Installation
from tests.post import Post
from tests.scenes import Scene
from tests.work import Work


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

"""No secret reaches an error. Logs and command lines: `dev/test_demo.py`."""

import asyncio
import base64
import io
import os
import secrets

import pytest

from server.config import ConfigError, load
from server.redaction import redacted
from tests.conftest import Installation
from tests.support.fork_server import ForkServer

NOWHERE = "127.0.0.1:1"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["MONGO_URL", "REDIS_URL", "STRIPE_API_BASE"])
async def test_errors_of_a_store_show_no_secret(
    name: str, installation: Installation, fork_server: ForkServer
) -> None:
    """Guard: `redacted` around the errors of the command line."""
    mark = f"Mark{secrets.token_hex(8)}"
    urls = {
        "MONGO_URL": f"mongodb://user:{mark}@{NOWHERE}/test",
        "REDIS_URL": f"redis://user:{mark}@{NOWHERE}:99999/0",
        "STRIPE_API_BASE": f"http://user:{mark}@{NOWHERE}",
    }
    env = {**installation.env, name: urls[name]}
    prompt = {"domain.kernel.mongo_client.SELECTION_SECONDS": 0.5}
    ran = await asyncio.to_thread(fork_server.run, "audit", env=env, constants=prompt)
    assert ran.returncode
    assert mark not in ran.stdout + ran.stderr


def test_a_stream_hides_secrets() -> None:
    """Guard: `Redacted.write`: known texts, the longest first, and credentials of any URL."""
    stream = io.StringIO()
    hiding = redacted(redacted(stream, ["secret-1", "short"]), ["secret-1-longer"])
    print("secret-1-longer secret-1 short redis://a:b@host/0", file=hiding)
    assert stream.getvalue() == "*** *** short redis://***@host/0\n"
    assert hiding.writable()


def test_all_secret_settings_are_hidden(installation_env: dict[str, str]) -> None:
    """Guard: `Settings.secrets`: passwords as they are written and as they are meant."""
    key = base64.b64encode(os.urandom(32)).decode()
    settings = load(
        installation_env
        | {
            "REDIS_URL": "redis://:p%40ss-word@h/0, redis://h/1?password=second-word",
            "MONGO_URL": "mongodb://u:mongo-word@a,b/db",
            "JWT_KEYS": f"k:{key}",
        }
    )
    expected = {"p%40ss-word", "p@ss-word", "second-word", "mongo-word", key}
    assert expected <= {*settings.secrets}
    assert installation_env["STRIPE_SECRET_KEY"] in settings.secrets


def test_a_password_that_would_become_a_host_is_refused(installation_env: dict[str, str]) -> None:
    """Guard: the count of `@` in `config._url`."""
    with pytest.raises(ConfigError, match="percent-encode") as refused:
        load(installation_env | {"MONGO_URL": "mongodb://user:pa@ss@host/db"})
    assert "pa@ss" not in str(refused.value)


@pytest.fixture
def installation_env() -> dict[str, str]:
    """Settings that can be loaded."""
    key = base64.b64encode(os.urandom(32)).decode()
    return {
        "MONGO_URL": "mongodb://h",
        "REDIS_URL": "redis://h",
        "STRIPE_SECRET_KEY": f"sk_test_{secrets.token_hex(16)}",
        "STRIPE_WEBHOOK_SECRETS": "whsec_marked-secret",
        **{name: f"k:{key}" for name in ("JWT_KEYS", "AUDIT_KEY", "FIELD_KEYS")},
    }

"""Files of the Python client: sent, read, and refused."""

import os
from pathlib import Path

import pytest
from jobsphere import Refusal

from tests.support.file_samples import picture
from tests.support.one_server import one_server
from tests.support.python_clients import PythonClients, take, talk_of

pytestmark = one_server


async def test_a_picture_goes_from_one_to_the_other(clients: PythonClients, tmp_path: Path) -> None:
    """Guard: `Client.upload` and `Client.download`, in messages as well."""
    carla, colin = await clients.customer(), await clients.contractor()
    talk = await talk_of(carla, colin)
    messages = colin.chat.pushes("message")
    (tmp_path / "fence.png").write_bytes(picture(size=(64, 48)))
    kept = await carla.upload(tmp_path / "fence.png")
    assert (kept["name"], kept["width"], kept["height"]) == ("fence.png", 64, 48)
    await carla.chat.send(conversation_id=talk["id"], file_ids=[kept["id"]])
    (push,) = await take(messages, 1)
    (file,) = push.data["files"]
    await colin.download(file["id"], tmp_path / "copy.png")
    assert (tmp_path / "copy.png").stat().st_size == kept["size"]


QUERY = {"start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z", "currency": "USD"}


async def test_a_statement_is_saved(clients: PythonClients, tmp_path: Path) -> None:
    """Guard: `Client.save`."""
    carla = await clients.customer()
    await carla.save("/api/wallet/statement.csv", tmp_path / "statement.csv", QUERY)
    assert "at,kind,job,offer_id" in (tmp_path / "statement.csv").read_text()


async def test_refused_files_leave_nothing(clients: PythonClients, tmp_path: Path) -> None:
    """Guard: the part in `Http.save`, and the refusals of uploads."""
    (tmp_path / "folder").mkdir()
    carla = await clients.customer()
    with pytest.raises(Refusal) as refused:
        await carla.upload(b"<script>", "page.html")
    assert refused.value.code == "unsupported_type"
    with pytest.raises(Refusal) as refused:
        await carla.download("fil_unknown", tmp_path / "none.png")
    assert refused.value.code == "not_found"
    kept = await carla.upload(picture(), "fence.png")
    with pytest.raises(OSError):
        await carla.download(kept["id"], tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


async def test_what_the_server_enforces_is_told(clients: PythonClients) -> None:
    """Guard: `Client.meta`, without signing in."""
    assert (await clients.new().meta())["money"]["default_currency"] == "USD"

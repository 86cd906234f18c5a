"""Encrypting stored fields again under a new key, while others write."""

from domain.kernel import key_rotation
from domain.kernel.key_rotation import RotationPosition
from tests.domain.kernel.test_field_codec import NEW, OLD, Secretive, added, codec, raw
from tests.domain.kernel.test_field_codec import store as store

FIELDS = ("email", "note", "text", "terms", "last")


async def rotated(store) -> list[int]:
    return [count async for count in key_rotation.rotate(store, Secretive, "new")]


async def test_every_record_is_encrypted_under_the_new_key(store, monkeypatch):
    """Guard: `key_rotation.rotate`."""
    monkeypatch.setattr(key_rotation, "BATCH", 2)
    ones = [await added(store, email=f"{n}@example.com", terms=("a",)) for n in range(5)]
    store.codec = codec(NEW, OLD)
    ones.append(await added(store, email="new@example.com"))
    assert await key_rotation.remaining(store, Secretive, "new") == 6
    assert sum(await rotated(store)) == 5
    assert sum(await rotated(store)) == 0
    store.codec = codec(NEW)
    for one in ones:
        assert await store.single().get(Secretive, one.id) == one
        assert await store.single().find(Secretive, {"email": one.email}) == one
    assert await store.single().all(RotationPosition, {}) == []


async def test_an_interrupted_rotation_continues_where_it_ended(store, monkeypatch):
    """Guard: `RotationPosition` in `key_rotation.rotate`."""
    monkeypatch.setattr(key_rotation, "BATCH", 2)
    for n in range(5):
        await added(store, email=f"{n}@example.com")
    store.codec = codec(NEW, OLD)
    async for _ in key_rotation.rotate(store, Secretive, "new"):
        break
    assert await key_rotation.remaining(store, Secretive, "new") == 3
    assert await rotated(store) == [2, 1]


async def test_a_change_at_the_same_moment_is_kept(store, monkeypatch):
    """Guard: the stored values in the filter of `key_rotation._again`."""
    one = await added(store)
    store.codec = codec(NEW, OLD)
    real = key_rotation._again

    def as_if_changed(*arguments):
        where, fields = real(*arguments)
        assert where == {"_id": one.id, **{name: stored[name] for name in FIELDS}}
        return where | {"email": b"what another process wrote"}, fields

    stored = await raw(store, one.id)
    monkeypatch.setattr(key_rotation, "_again", as_if_changed)
    assert await rotated(store) == [0]
    assert await raw(store, one.id) == stored


async def test_clear_rows_are_encrypted_and_messages_opened_again(store):
    """Guard: `FieldCodec.is_current`, when ENCRYPT_MESSAGES changes."""
    one = await added(store, text="hello", terms=("hello",))
    store.codec = codec(OLD, messages=False)
    assert await rotated(store) == [1]
    assert (await raw(store, one.id))["text"] == "hello"
    assert await store.single().find(Secretive, {"terms": "hello"}) == one
    store.codec = codec(OLD)
    assert await rotated(store) == [1]
    assert isinstance((await raw(store, one.id))["text"], bytes)
    assert await store.single().find(Secretive, {"terms": "hello"}) == one

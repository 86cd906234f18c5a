"""Encrypted fields of records, as the store keeps and finds them."""

import os

import pytest

from domain.kernel.field_codec import FieldCodec, UndecipherableField
from domain.kernel.record import Index, Record
from domain.kernel.store import Duplicate, Store
from server.adapters.field_cipher import AesGcmFieldCipher
from server.adapters.system_clock import SystemClock
from server.config import SecretKey
from tests.domain.kernel.test_store import RATES

OLD, NEW = (SecretKey(kid, os.urandom(32)) for kid in ("old", "new"))


class Secretive(Record, frozen=True):
    COLLECTION = "secretives"
    PREFIX = "sec"
    INDEXES = (Index((("email_digest", 1),), unique=True),)
    ENCRYPTED = frozenset({"email", "note"})
    ENCRYPTED_MESSAGES = frozenset({"text", "terms", "last.text"})
    LOOKUP = frozenset({"email", "terms"})

    email: str
    note: dict[str, int] | None = None
    text: str = ""
    terms: tuple[str, ...] = ()
    last: dict[str, str] = {}


def codec(*keys: SecretKey, messages: bool = True) -> FieldCodec:
    return FieldCodec(AesGcmFieldCipher(keys), messages=messages)


@pytest.fixture
async def store(installation):
    store = Store(installation.settings.mongo_url, SystemClock(), RATES, codec(OLD))
    await store.prepare([Secretive])
    yield store
    store.close()


async def raw(store: Store, id: str):
    return await store.database[Secretive.COLLECTION].find_one({"_id": id})


async def added(store: Store, **fields) -> Secretive:
    uow = store.single()
    one = uow.new(Secretive, **({"email": "carla@example.com"} | fields))
    await uow.add(one)
    return one


async def test_declared_fields_are_stored_as_ciphertext_and_read_in_clear(store):
    """Guard: `FieldCodec.seal` in `add_all`."""
    one = await added(
        store,
        note={"a": 1},
        text="hello fence",
        terms=("fence",),
        last={"text": "hello", "by": "x"},
    )
    stored = await raw(store, one.id)
    assert isinstance(stored["email"], bytes) and isinstance(stored["note"], bytes)
    assert isinstance(stored["text"], bytes) and isinstance(stored["terms"], bytes)
    assert isinstance(stored["last"]["text"], bytes) and stored["last"]["by"] == "x"
    assert b"carla" not in repr(stored).encode() and b"fence" not in repr(stored).encode()
    assert await store.single().get(Secretive, one.id) == one


@pytest.mark.parametrize("in_transaction", [False, True])
async def test_changes_are_encrypted_and_their_result_is_clear(store, in_transaction):
    """Guard: `FieldCodec.seal` in `UnitOfWork.change`."""
    one = await added(store)

    async def change(uow):
        changed = await uow.change(Secretive, one.id, email="new@example.com", note={"b": 2})
        return changed, uow.changes

    if in_transaction:
        changed, changes = await store.transact(change)
        assert changes[0].before["email"] == "carla@example.com"
        assert changes[0].after["email"] == "new@example.com"
    else:
        changed, _ = await change(store.single())
    assert (changed.email, changed.note) == ("new@example.com", {"b": 2})
    assert isinstance((await raw(store, one.id))["email"], bytes)
    assert await store.single().find(Secretive, {"email": "carla@example.com"}) is None
    assert await store.single().find(Secretive, {"email": "new@example.com"}) == changed


async def test_encrypted_fields_are_found_by_equality_and_unique(store):
    """Guard: `FieldCodec.where`."""
    one = await added(store, terms=("paint", "fence"))
    uow = store.single()
    assert await uow.find(Secretive, {"email": ("x@example.com", one.email)}) == one
    assert await uow.find(Secretive, {"terms": "paint"}) == one
    assert await uow.find(Secretive, {"terms": {"$all": ["paint", "fence"]}}) == one
    assert await uow.find(Secretive, {"terms": {"$all": ["paint", "wall"]}}) is None
    with pytest.raises(Duplicate):
        await added(store)


async def test_a_query_that_ciphertext_cannot_answer_is_an_error(store):
    """Guard: the assertions of `FieldCodec._digest_query`."""
    for where in ({"email": {"$gt": "a"}}, {"note": {"a": 1}}):
        with pytest.raises(AssertionError):
            await store.single().find(Secretive, where)


async def test_a_write_that_would_leave_clear_text_is_an_error(store):
    """Guard: `FieldCodec.require_clear`."""
    one, uow = await added(store, last={"text": "a"}), store.single()
    with pytest.raises(AssertionError):
        await uow.change_all(Secretive, {"_id": one.id}, email="clear@example.com")
    with pytest.raises(AssertionError):
        await uow.change(Secretive, one.id, **{"note.a": 3})
    with pytest.raises(AssertionError):
        await uow.change(Secretive, one.id, push={"terms": "wall"})
    with pytest.raises(AssertionError):
        await uow.set_private(Secretive, {"_id": one.id}, last={"text": "clear"})
    assert await uow.get(Secretive, one.id) == one


async def test_a_ciphertext_of_another_record_is_refused(store):
    """Guard: `field_codec._context`."""
    one, other = await added(store), await added(store, email="other@example.com")
    rows = store.database[Secretive.COLLECTION]
    await rows.update_one(
        {"_id": one.id}, {"$set": {"email": (await raw(store, other.id))["email"]}}
    )
    with pytest.raises(UndecipherableField):
        await store.single().get(Secretive, one.id)


async def test_clear_values_of_before_are_read(store):
    """Guard: the `isinstance` in `FieldCodec.open`."""
    one = await added(store)
    rows = store.database[Secretive.COLLECTION]
    await rows.update_one({"_id": one.id}, {"$set": {"email": "clear@example.com", "text": "hi"}})
    found = await store.single().get(Secretive, one.id)
    assert (found.email, found.text) == ("clear@example.com", "hi")
    assert not store.codec.is_current(Secretive, await raw(store, one.id))


async def test_lookups_find_rows_of_every_key(store):
    """Guard: `digests` of all keys in `FieldCodec._digest_query`."""
    one = await added(store)
    store.codec = codec(NEW, OLD)
    found = await store.single().find(Secretive, {"email": one.email})
    assert found == one
    assert not store.codec.is_current(Secretive, await raw(store, one.id))

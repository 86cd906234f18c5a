"""Documents: an update that is applied here equals the one that MongoDB applies."""

from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient

from domain.kernel.documents import apply_update
from tests.support.property_sizes import examples

values = st.one_of(st.integers(-5, 5), st.text(max_size=3), st.none())


@examples(50, deep=200)
@given(
    sets=st.dictionaries(st.sampled_from(["a", "b", "list.0.x", "map.k"]), values),
    incs=st.dictionaries(st.sampled_from(["n", "m", "list.1.n"]), st.integers(-9, 9)),
    pushes=st.dictionaries(st.sampled_from(["tags", "new"]), values),
)
async def test_apply_update_agrees_with_mongodb(stores, sets, incs, pushes):
    """Guard: `documents.apply_update`, which saves a second read of a changed row."""
    update = {"$set": sets, "$inc": incs, "$push": pushes}
    update = {name: part for name, part in update.items() if part}
    document = {"_id": 1, "a": 1, "n": 2, "list": [{"x": 1}, {"n": 4}], "map": {}, "tags": ["t"]}
    with MongoClient(stores.mongo_url) as client:
        collection = client["updates"]["documents"]
        collection.replace_one({"_id": 1}, document, upsert=True)
        if update:
            collection.update_one({"_id": 1}, update)
        assert apply_update(document, update) == collection.find_one({"_id": 1})

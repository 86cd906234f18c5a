"""What words find: forms, wrong letters, frequent words, signs, synonyms; and completions."""

import pytest

from domain.accounts.search_keys import fold
from domain.jobs.saved_searches import SavedSearch, renew_anchors
from tests.conftest import Server
from tests.support.market import Market
from tests.support.one_server import one_server, own_server
from tests.support.parties import Party, Refused

pytestmark = one_server


async def titles(party: Party, q: str, sort: str = "relevance") -> list[str]:
    page = await party.call("/job", "list", {"q": q, "sort": sort})
    return [job["title"] for job in page["items"]]


async def test_words_find_by_meaning_and_signs_find_nothing(market: Market) -> None:
    """Guard: `queries.word_query`, `reading.unknown_words`, and `nothing` in `found_jobs`."""
    customer = await market.customer()
    plain = {"description": "x", "category": "Other", "skills": []}
    long = " ".join(f"word{number}" for number in range(400))
    for title in (
        "Plumber for a leaking tap",
        "IT support for the office",
        "Painting of the fence",
        "修理厨房漏水的水管",
        "Backend in Node.js",
        "Door to fit",
        "रसोई में प्लंबर",
    ):
        await market.job(customer, **plain | {"title": title})
    gone = await market.job(customer, **plain | {"title": "plumbr, fance"})
    await customer.call("/job", "cancel", {"job_id": gone["id"]})
    await market.job(customer, **plain | {"title": "Long", "description": long})
    for q, expected in {
        "plumbing": ["Plumber for a leaking tap"],
        "leak TAPS": ["Plumber for a leaking tap"],
        "plumbr leeking": ["Plumber for a leaking tap"],
        "plmber": ["Plumber for a leaking tap"],
        "a plumber": ["Plumber for a leaking tap"],
        "nodejs": ["Backend in Node.js"],
        "水管": ["修理厨房漏水的水管"],
        "IT": ["IT support for the office"],
        "who": [],
        "the": ["Painting of the fence", "IT support for the office"],
        "word399 word121": ["Long"],
        "fance": ["Painting of the fence"],
        "fnc": [],
        "€": [],
        "👍": [],
        "plumber office": [],
        "fit door": ["Door to fit"],
        "fit van": [],
        "प्लबंर": ["रसोई में प्लंबर"],
    }.items():
        assert await titles(customer, q) == expected, q
        assert (await customer.call("/job", "facets", {"q": q}))["counted"] == len(expected), q
    assert len(await titles(customer, "  ")) == 8
    own = {"q": "plumbr", "status": "cancelled"}
    assert [job["id"] for job in (await customer.call("/job", "list", own))["items"]] == [
        gone["id"]
    ]
    public = await customer.http("GET", "/api/job/public?q=%F0%9F%91%8D")
    assert public == (200, {"items": [], "next_cursor": None})


async def test_the_title_counts_more_than_skills_and_these_more_than_the_text(
    market: Market,
) -> None:
    """Guard: FIELDS, EXACT and STEM in `queries`."""
    customer = await market.customer()
    plain = {"description": "x", "category": "Other", "skills": []}
    await market.job(customer, **plain | {"title": "A roof"})
    await market.job(customer, **plain | {"title": "B", "skills": ["roof"]})
    await market.job(customer, **plain | {"title": "C", "description": "On the roof"})
    await market.job(customer, **plain | {"title": "D", "description": "Of roofs"})
    await market.job(customer, **plain | {"title": "The roof of the garden house"})
    assert await titles(customer, "roof") == [
        "The roof of the garden house",
        "A roof",
        "B",
        "C",
        "D",
    ]
    assert (await titles(customer, "roof", "newest"))[1] == "D"


async def test_saved_searches_mean_what_the_list_means(market: Market, server: Server) -> None:
    """Guard: `_require_words`, `SavedSearch.unknown` in `fits`, `renew_anchors`, and `stretch` in
    it and in `_next_matches`: a damaged search does not stop the others; AMBIGUOUS in `identity`
    and `fits`."""
    customer, contractor = await market.customer(), await market.contractor()
    plain = {"description": "x", "category": "Other", "skills": []}
    gone = await market.job(customer, **plain | {"title": "A wardrobbe"})
    await customer.call("/job", "cancel", {"job_id": gone["id"]})
    for q in ("€", "👍"):
        with pytest.raises(Refused, match="needs a word"):
            await contractor.call("/job", "search_save", {"name": "x", "q": q})
    words = ("damaged", "the", "wardrobbe", "nodejs", "cat sitting", "care sitting", "van fitter")
    for q in (*words, "IT"):
        saved = await contractor.call("/job", "search_save", {"name": q, "q": q})
    with pytest.raises(Refused, match="needs a word"):
        await contractor.call("/job", "search_update", {"search_id": saved["id"], "q": "€"})
    uow = server.store.single()
    old = {"anchors": ("word:nodejs",), "analysis": 0}
    names = {"damaged", "nodejs"}
    listed = (await contractor.call("/job", "searches"))["items"]
    ids = {each["name"]: each["id"] for each in listed if each["name"] in names}
    await uow.set_private(SavedSearch, {"_id": tuple(ids.values())}, **old)
    broken = {"filters": "unreadable", "anchors": ["*"]}
    await uow.set_stored(SavedSearch, [({"_id": ids["damaged"]}, broken)])
    assert await renew_anchors(server.ports) == 1
    assert await renew_anchors(server.ports) == 0
    for title in (
        "Oak wardrobe",
        "Node.js backend",
        "Mend the door",
        "IT",
        "Baby sitting",
        "Cat sitting",
        "Kitchen fitter",
    ):
        await market.job(customer, **plain | {"title": title})
    await market.settled()
    pushed = contractor.received("/job", "job.matched")
    assert {(push.data["name"], push.data["job"]["title"]) for push in pushed} == {
        ("wardrobbe", "Oak wardrobe"),
        ("nodejs", "Node.js backend"),
        ("the", "Mend the door"),
        ("IT", "IT"),
        ("cat sitting", "Cat sitting"),
    }


@own_server
async def test_names_are_shown_as_written_and_compared_by_one_rule(
    market: Market, server: Server
) -> None:
    """Guard: `name_key` in `SearchCriteria.of` and in `words_of_fields`, `skill_shown` of the
    index, and ANALYSIS, which renews anchors of another rule."""
    customer, contractor = await market.customer(), await market.contractor()
    for category, *skills in (
        ("Møbler", "ガス工事", "Élagage"),
        ("møbler", "バス", "Élagage", "ELAGAGE"),
        ("Møbler", "elagage", "ซ่อมท่อ"),
        ("Łódź", "パス", "배관수리", "नलसाज़ी"),
    ):
        await market.job(customer, category=category, skills=skills)
    shown = await customer.call("/job", "facets")
    found = {
        name: {each["value"]: each["count"] for each in shown[name]}
        for name in ("categories", "skills")
    }
    others = ("ガス工事", "バス", "パス", "ซ่อมท่อ", "배관수리", "नलसाज़ी")
    assert found == {
        "categories": {"Møbler": 3, "Łódź": 1},
        "skills": {"Élagage": 3} | dict.fromkeys(others, 1),
    }

    async def counted(**filters: object) -> int:
        return int((await customer.call("/job", "facets", filters))["counted"])

    for name, count in (found["skills"] | {"élagage": 3, "ガス": 0}).items():
        assert await counted(skills=[name]) == count, name
    for name, count in (found["categories"] | {"mobler": 3, "LODZ": 1, "o": 0}).items():
        assert await counted(category=name) == count, name
    for name in ("ガス工事", "LODZ", "パス"):
        saved = {"name": name, "skills": [name]}
        await contractor.call("/job", "search_save", saved)
    uow = server.store.single()
    for name in ("ガス工事", "パス"):
        old = {"anchors": (f"skill:{fold(name)}",), "analysis": 1}
        await uow.set_private(SavedSearch, {"name": name}, **old)
    assert await renew_anchors(server.ports) == 2
    for skill in ("バス", "カス工事", "ガス工事", "Łódź"):
        await market.job(customer, title=skill, skills=[skill])
    await market.settled()
    pushed = contractor.received("/job", "job.matched")
    assert {(push.data["name"], push.data["job"]["title"]) for push in pushed} == {
        ("ガス工事", "ガス工事"),
        ("LODZ", "Łódź"),
    }


@own_server
async def test_what_is_typed_is_completed(market: Market) -> None:
    """Guard: `reading.complete` and `suggestions.suggest`: open jobs only, and each name once."""
    customer = await market.customer()
    for title, skills in (
        ("Paint the hall", ["Interior painting", "Plastering"]),
        ("Painters for a fence", ["interior Painting"]),
        ("Pave the yard", ["Paving"]),
    ):
        await market.job(customer, title=title, skills=skills, category="Café décor")
    for title in ("修理厨房漏水的水管", "ซ่อมท่อน้ำรั่ว", "İzmir boya işi", "Neue Straße pflastern"):
        await market.job(customer, title=title, skills=[], category="Other")
    gone = await market.job(customer, title="Paint a boat", skills=["Paintwork"])
    await customer.call("/job", "cancel", {"job_id": gone["id"]})

    async def completed(q: str) -> list[tuple[str, str, int]]:
        items = (await customer.call("/job", "suggest", {"q": q}))["items"]
        return [(each["kind"], each["text"], each["count"]) for each in items]

    assert await completed("pai") == [
        ("skill", "Interior painting", 2),
        ("title", "Painters for a fence", 1),
        ("title", "Paint the hall", 1),
    ]
    assert await completed("interior pa") == [("skill", "Interior painting", 2)]
    assert await completed("the hal") == [("title", "Paint the hall", 1)]
    assert await completed("cafe") == [("category", "Café décor", 3)]
    assert await completed("DECO") == [("category", "Café décor", 3)]
    assert [kind for kind, _, _ in await completed("pa")] == ["skill", "skill"] + ["title"] * 3
    for title, typed in {
        "修理厨房漏水的水管": "修|修理|修理厨|修理厨房漏|水管修理|厨房漏水的水",
        "ซ่อมท่อน้ำรั่ว": "ซ่อม|ซ่อมท่|ท่อน้ำรั่",
        "İzmir boya işi": "İzmir bo|izmir bo|İİzmir bo|İzmir BOYA İş",
        "Neue Straße pflastern": "neue Straße|neue STRASS|Straße pfl",
    }.items():
        for q in typed.split("|"):
            expected = [] if q.startswith("İİ") else [("title", title, 1)]
            assert await completed(q) == expected, q
    assert await completed("修理花") == await completed("Haus Straße") == []
    assert await completed("€") == await completed("zzz") == []

"""The examples that /docs shows, each of them run as it is."""

import asyncio
import itertools
from collections.abc import Mapping
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from jobsphere import Client

from server.dev.stores import ROOT
from tests.stories.docs_examples import (
    SECONDS,
    Answer,
    all_examples,
    in_a_shell,
    in_javascript,
    in_python,
    in_python_as,
    party_for,
    run,
    session_of,
)
from tests.support.file_samples import picture
from tests.support.market import Market
from tests.support.parties import PASSWORD, Json
from tests.support.property_sizes import SEED

SIGNED = {"account.passkey_add", "account.passkey_login"}  # by a passkey, for one challenge
LANGUAGES = ["curl", "javascript", "python"]
CLIENT = ROOT / "static" / "client"


def check(operations: Mapping[str, Json], answers: list[Answer]) -> None:
    """Each got data, or a refusal that is documented and not about the form of the example."""
    assert [answer.name for answer in answers] == list(operations)
    for name, status, code, rule, _ in answers:
        if code is None:
            assert status in (None, 200), (name, status)
            continue
        documented = operations[name]["refusals"]
        codes = documented[str(status)] if status else itertools.chain(*documented.values())
        assert code in codes, (name, status, code)
        is_formed = code != "invalid" or rule == "value" or name in SIGNED
        assert is_formed, f"the example of {name} is malformed: {rule}"


def shown_in(language: str, operations: list[Json]) -> dict[str, Json]:
    """The operations that have an example in this language, by name. `make test-deep` takes all of
    them; otherwise each operation has its turn in one of the languages."""
    turn = LANGUAGES.index(language)
    return {
        each["name"]: each
        for number, each in enumerate(operations)
        if each[language] and (SEED or number % len(LANGUAGES) == turn)
    }


async def test_every_example_gets_a_documented_answer(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guard: `curl`, `javascript` and `python` in static/js/docs/examples.js."""
    operations = (await all_examples(market.url))["operations"]
    (tmp_path / "fence.png").write_bytes(picture())

    shown = shown_in("curl", operations)
    parties = {name: await party_for(market, each) for name, each in shown.items()}
    lines = [(name, parties[name].token or "", each["curl"]) for name, each in shown.items()]
    check(shown, await in_a_shell(tmp_path, lines))

    shown = shown_in("javascript", operations)
    parties = {name: await party_for(market, each) for name, each in shown.items()}
    check(shown, await in_javascript(market.url, list(shown.values()), parties))

    shown = shown_in("python", operations)
    parties = {name: await party_for(market, each) for name, each in shown.items()}
    monkeypatch.chdir(tmp_path)
    check(
        shown,
        [await in_python_as(market.url, each, parties[name]) for name, each in shown.items()],
    )


async def test_the_examples_of_pushes_hear_them(market: Market) -> None:
    """Guard: `listeners` in static/js/docs/examples.js."""
    admin = await market.admin(connect=False)
    pushes = (await all_examples(market.url))["pushes"]
    assert len(pushes) > 30
    headline = "Painter"
    javascript = "\n".join(
        [
            *(each["javascript"] for each in pushes),
            "const heard = client.account.next('account.updated');",
            f"await client.account.update({{ headline: '{headline}' }});",
            "await heard;",
        ]
    )
    namespaces = sorted({f"/{each['namespace']}" for each in pushes})
    example = {"name": "pushes", "javascript": javascript, "roles": ["admin"]}
    got = await in_javascript(market.url, [example], {"pushes": admin}, namespaces)
    assert [data["headline"] for data, *_ in got[0].logged if "headline" in data] == [headline]

    logged: asyncio.Queue[Any] = asyncio.Queue()

    def log(data: Any, *_: Any) -> None:
        if "headline" in data:
            logged.put_nowait(data)

    async with Client(market.url) as client:
        await client.resume(session_of(admin))
        async with asyncio.TaskGroup() as group:
            listening = [
                group.create_task(in_python(client, each["python"], print=log)) for each in pushes
            ]
            await asyncio.sleep(0)  # until each has subscribed
            await client.account.update(headline="Plumber")
            async with asyncio.timeout(SECONDS):
                assert (await logged.get())["headline"] == "Plumber"
            assert not any(task.done() for task in listening)
            for task in listening:
                task.cancel()


async def test_the_ways_to_a_token_and_a_client_lead_there(market: Market, tmp_path: Path) -> None:
    """Guard: `setUp` in static/js/docs/examples.js."""
    customer = await market.customer(connect=False)
    found = await all_examples(market.url, customer.email, PASSWORD)
    shell = f'{found["setUp"]["curl"]}\necho "$TOKEN"\n'
    token, errors = await run("sh", env={}, cwd=tmp_path, given=shell)
    assert errors == ""
    customer.token = token.strip()
    assert (await customer.http("GET", "/api/account/me"))[1]["id"] == customer.id

    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "jobsphere-client").symlink_to(CLIENT)
    program = f"{found['setUp']['javascript']}\nconsole.log(client.user.id);\nclient.close();\n"
    (tmp_path / "program.mjs").write_text(program)
    id, errors = await run("node", "program.mjs", env={}, cwd=tmp_path)
    assert (id.strip(), errors) == (customer.id, "")

    program = (
        f"async def program():\n{indent(found['setUp']['python'], '    ')}\n    return client\n"
    )
    scope: Json = {}
    exec(program, scope)
    client: Client = await scope["program"]()
    assert client.id == customer.id
    await client.close()

"""The examples of /docs, as the page makes them, for tests that run them."""

import asyncio
import json
import os
import re
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import indent
from typing import Any, NamedTuple

import aiohttp
from jobsphere import Client, Refusal

from server.dev.stores import ROOT
from tests.support.market import Market
from tests.support.parties import PASSWORD, Json, Party

SCRIPTS = Path(__file__).parent / "node"
SECONDS = 60.0
PATIENCE = 15.0
# What the examples of curl get as settings: the status of each answer, on the errors' side.
CURLRC = 'silent\nshow-error\nwrite-out = "%{stderr}@@ %{http_code}\\n"\n'
ROLES = ("customer", "contractor", "admin")


class Answer(NamedTuple):
    """What an example got: an HTTP status (in a shell), and the code of a refusal with its rule."""

    name: str
    status: int | None = None
    code: str | None = None
    rule: str | None = None
    logged: Sequence[Any] = ()


async def run(*command: str, env: dict[str, str], cwd: Path, given: str = "") -> tuple[str, str]:
    """What a program writes to its output and to its errors. It has to succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=os.environ | env, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(SECONDS):
            output, errors = await process.communicate(given.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    return output.decode(errors="replace"), errors.decode()


async def all_examples(url: str, email: str = "", password: str = PASSWORD) -> Any:
    """`setUp` in each language, and the `operations` and `pushes` with theirs."""
    output, _ = await run(
        "node", str(SCRIPTS / "examples.mjs"), url, email, password, env={}, cwd=ROOT
    )
    return json.loads(output)


async def party_for(market: Market, operation: Json, **options: Any) -> Party:
    """A new user who may run this operation."""
    allowed = operation["roles"] or ROLES
    role = next(role for role in ROLES if role in allowed)
    party: Party = await getattr(market, role)(connect=False, **options)
    return party


async def in_a_shell(folder: Path, lines: list[tuple[str, str, str]]) -> list[Answer]:
    """Run (name, token, example) one after the other, exactly as they are shown."""
    (folder / ".curlrc").write_text(CURLRC)
    script = "".join(
        f"TOKEN={token}\necho '@@ {name}'\n{example}\n{_shown(example)}\n"
        for name, token, example in lines
    )
    output, errors = await run("sh", env={"CURL_HOME": str(folder)}, cwd=folder, given=script)
    statuses = [int(status) for status in re.findall(r"^@@ (\d+)$", errors, re.MULTILINE)]
    bodies = re.split(r"^@@ (\S+)$", output, flags=re.MULTILINE)[1:]
    assert len(statuses) == len(lines) and errors.count("\n") == len(lines), errors
    return [
        Answer(name, status, *_refusal(json.loads(body) if status >= 400 else {}))
        for name, body, status in zip(bodies[::2], bodies[1::2], statuses, strict=True)
    ]


async def in_javascript(
    url: str,
    examples: list[Json],
    parties: Mapping[str, Party],
    namespaces: Sequence[str] = (),
) -> list[Answer]:
    """Run examples with the JavaScript client, each as its own party."""
    given = [
        {
            "name": each["name"],
            "code": each["javascript"],
            "session": session_of(parties[each["name"]]) if each["roles"] else None,
            "namespaces": namespaces or namespaces_of(each),
        }
        for each in examples
    ]
    output, errors = await run(
        "node",
        str(SCRIPTS / "run_examples.mjs"),
        env={},
        cwd=ROOT,
        given=json.dumps({"url": url, "examples": given}),
    )
    assert errors == ""
    return [Answer(**each) for each in json.loads(output)]


async def in_python(client: Client, code: str, **names: Any) -> Refusal | None:
    """Run an example with the Python client. Returns its refusal."""
    scope: Json = {"client": client, "Path": Path, "aiohttp": aiohttp, **names}
    exec(f"async def example():\n{indent(code, '    ')}", scope)  # our own page made it
    try:
        await scope["example"]()
    except Refusal as refused:
        return refused
    return None


async def in_python_as(url: str, example: Json, party: Party) -> Answer:
    """Run an operation's example as this party."""
    async with Client(url, patience=PATIENCE) as client:
        if example["roles"]:
            await client.resume(session_of(party), connect=bool(example["socket"]))
        refused = await in_python(client, example["python"])
    if refused is None:
        return Answer(example["name"])
    return Answer(example["name"], None, refused.code, refused.details.get("rule"))


def namespaces_of(operation: Json) -> list[str]:
    """What a client connects for an example: none if it goes over HTTP only."""
    if not operation["socket"]:
        return []
    return sorted({"/account", operation["socket"]["namespace"]})


def session_of(party: Party) -> Json:
    """What a sign-in would have answered."""
    return {
        "user": {"id": party.id, "role": party.role},
        "access_token": party.token,
        "refresh_token": party.refresh_token,
        "expires_at": "2100-01-01T00:00:00Z",
    }


def _shown(example: str) -> str:
    """Show the answer that went into a file."""
    saved = re.search(r"--output (\S+)", example)
    return f"cat {saved[1]}; echo" if saved else "echo"


def _refusal(body: Json) -> tuple[str | None, str | None]:
    return body.get("code"), body.get("details", {}).get("rule")

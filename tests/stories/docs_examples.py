"""The examples of /docs, as the page makes them, for tests that run them."""

import asyncio
import json
import os
import re
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any, NamedTuple

from server.dev.stores import ROOT
from tests.support.market import Market
from tests.support.parties import PASSWORD, Json, Party

SCRIPT = Path(__file__).parent / "node" / "examples.mjs"
SECONDS = 60.0
# What the examples of curl get as settings: the status of each answer, on the errors' side.
CURLRC = 'silent\nshow-error\nwrite-out = "%{stderr}@@ %{http_code}\\n"\n'
ROLES = ("customer", "contractor", "admin")


class Answer(NamedTuple):
    """What an example got: an HTTP status, and the code of a refusal with its rule."""

    name: str
    status: int
    code: str | None = None
    rule: str | None = None


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
    output, _ = await run("node", str(SCRIPT), url, email, password, env={}, cwd=ROOT)
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


def _shown(example: str) -> str:
    """Show the answer that went into a file."""
    saved = re.search(r"--output (\S+)", example)
    return f"cat {saved[1]}; echo" if saved else "echo"


def _refusal(body: Json) -> tuple[str | None, str | None]:
    return body.get("code"), body.get("details", {}).get("rule")

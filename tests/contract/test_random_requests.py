"""Random requests to HTTP operations, made by schemathesis from the document that the server
serves. The short run calls the operations of `wires.of_http`, each as one role, the full one all of
them as each.

All its checks are on: no 5xx; no status, header, type or body that the document does not have; what
it forbids is refused, and what it allows is not; no way around the sign-in.
"""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from domain.accounts.user import User
from domain.kernel.actor import Role
from server.dev.stores import ROOT
from tests.architecture.test_matrix import World, world  # noqa: F401
from tests.contract.model import contract
from tests.contract.snapshot import documents
from tests.contract.socket_commands import commands
from tests.contract.wires import of_http
from tests.support.installations import Installation
from tests.support.market import Market
from tests.support.property_sizes import SEED, size

PHASES = "fuzzing" if not SEED else "examples,coverage,fuzzing,stateful"
EACH = size(1, deep=5)  # examples of each operation, in the phases that count them
LEAST = size(120, deep=3500)  # cases of a run
# The roles of each run: the short one has all of them at once.
RUNS = [(role,) for role in Role] if SEED else [tuple(Role)]
CASES = re.compile(r"([\d,]+) generated")


@pytest.fixture(autouse=True)
def without_limits(installation: Installation) -> None:
    installation.configure(
        COMMANDS_PER_SECOND="1000000",
        SIGN_INS_PER_MINUTE="100000",
        CONNECTIONS_PER_ADDRESS="1000000",
    )


@asynccontextmanager
async def sessions(market: Market, users: dict[Role, User]) -> AsyncIterator[str]:
    """An address that answers with the token of a new session of the user of a role, or of a new
    user of that role, if that one has been banned or has left."""

    async def new_session(request: web.Request) -> web.Response:
        role = Role(request.match_info["role"])
        now = await market.store.single().get(User, users[role].id)
        if now.banned_at or now.deleted_at:
            users[role] = (await market.join(role, "Fay Fresh", connect=False)).user
        return web.Response(text=(await market.sign_in(users[role], connect=False)).token)

    app = web.Application()
    app.router.add_get("/{role}", new_session)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server
    port = site._server.sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/"
    await runner.cleanup()


def of_records() -> list[str]:
    """Paths that are also those of one record, so they have its methods, too: `/api/job/mine` is
    one of `/api/job/{job_id}`."""
    paths = documents()["openapi"]["paths"]
    records = {re.compile(re.sub(r"{\w+}", "[^/]+", path)): set(paths[path]) for path in paths}
    return [
        path
        for path in paths
        if any(
            record.fullmatch(path) and methods - set(paths[path])
            for record, methods in records.items()
        )
    ]


def configuration(ids: dict[str, object]) -> str:
    """Half of the ids in requests are real ones. `fresh_sessions.what_fits_is_accepted` stands in
    for the check that is off."""
    known = {name: id for name, id in ids.items() if isinstance(id, str) and name.endswith("_id")}
    lines = [
        "[generation]",
        f"max-examples = {EACH}",
        f"deterministic = {json.dumps(not SEED)}",
        'database = "none"',
        "[checks]",
        "positive_data_acceptance.enabled = false",
    ]
    for name, id in known.items():
        lines += [f"[dictionaries.{name}]", f"values = [{json.dumps(id)}]"]
    lines.append("[parameters]")
    for name in known:
        binding = f"{{ dictionary = {json.dumps(name)}, probability = 0.5 }}"
        lines += [f'"{place}.{name}" = {binding}' for place in ("path", "query", "body")]
    for path in of_records():
        lines += ["[[operations]]", f"include-path = {json.dumps(path)}"]
        lines.append("checks.allow_header_conformance.enabled = false")
    return "\n".join(lines)


def callers(roles: tuple[Role, ...]) -> dict[str, Role]:
    """The operations of a run, and who calls each of them: with several roles one that may."""
    known = documents()
    found = contract(**known)["http"]
    tried = of_http((command.name for command in commands(known["asyncapi"])), found)
    found = {name: each for name, each in found.items() if name in tried}
    if len(roles) == 1:
        return dict.fromkeys(found, roles[0])
    allowed = {name: each["x-roles"].split() or roles for name, each in found.items()}
    return {
        name: Role(may[number % len(may)]) for number, (name, may) in enumerate(allowed.items())
    }


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("roles", RUNS, ids="+".join)
async def test_every_operation_keeps_to_the_document(
    roles: tuple[Role, ...],
    market: Market,
    world: World,  # noqa: F811
    tmp_path: Path,
    record_property: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Fails for an operation whose answers are not as `/api/openapi.json` says."""
    users = {
        Role.CUSTOMER: world.customer.user,
        Role.CONTRACTOR: world.contractor.user,
        Role.ADMIN: world.admin.user,
    }
    chosen = callers(roles)
    included = [option for name in chosen for option in ("--include-operation-id", name)]
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(configuration(world.ids))
    called = tmp_path / "callers.json"
    called.write_text(json.dumps(chosen))
    async with sessions(market, users) as url:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "schemathesis.cli", "--config-file", str(settings), "run"),
            *(f"{market.url}/api/openapi.json", "--phases", PHASES, *included),
            *("--continue-on-failure", "--no-color", "--warnings", "off"),
            *(("--seed", str(SEED)) if SEED else ()),
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SCHEMATHESIS_HOOKS": "tests.contract.fresh_sessions",
                # Of all runs: it keeps tables of characters, which take a second to make.
                "HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis"),
                "SESSIONS_URL": url,
                "CALLERS": str(called),
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    generated = max(int(found.replace(",", "")) for found in CASES.findall(output))
    assert generated >= LEAST, output
    record_property(f"random requests as {', '.join(roles)}", generated)
    logged = capsys.readouterr().err.splitlines()
    assert [line for line in logged if "[error" in line] == []

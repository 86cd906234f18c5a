"""The npm package: its example, its types, and that it has all its files."""

import asyncio
import json
import re
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from server.dev.stores import ROOT
from tests.support.installations import Server

PACKAGE = ROOT / "static" / "client"
TYPES = Path(__file__).with_name("types")
SECONDS = 60
IMPORT = re.compile(r"""(?:from |import\(inNode \? |: )"([^"\s]+(?:\.js|-client))\"""")


async def run(*command: str, cwd: Path = ROOT) -> str:
    """The output of a program that succeeds."""
    process = await asyncio.create_subprocess_exec(*command, cwd=cwd, stdout=PIPE, stderr=STDOUT)
    try:
        async with asyncio.timeout(SECONDS):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
    return output.decode()


@pytest.fixture
async def compiler() -> Path:
    """The TypeScript compiler, in the version of the lock file."""
    path = TYPES / "node_modules" / ".bin" / "tsc"
    if not path.exists():
        await run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=TYPES)
    return path


async def test_programs_are_checked_against_the_types(client: None, compiler: Path) -> None:
    """Guard: `declaration` and `type_of` in typescript.py; program.ts says what must be refused."""
    await run(str(compiler), "--project", str(TYPES))


async def test_the_example_plays_a_whole_job(client: None, server: Server) -> None:
    """Guard: example.js, in less than 80 lines, which imports the package by its name."""
    output = await run("node", "example.js", server.url, cwd=PACKAGE)
    assert "platform_amount: 30000" in output and "contractor_amount: 70000" in output
    assert "paid out: 70000" in output
    assert "refused: conflict" in output or "refused: job_" in output
    assert len((PACKAGE / "example.js").read_text().splitlines()) < 80


async def test_the_package_has_all_its_modules(client: None) -> None:
    """Guard: `files` in static/client/package.json. Modules import only what is packed, and the
    Socket.IO client that the server's own pages use."""
    packed = json.loads(await run("npm", "pack", "--dry-run", "--json", cwd=PACKAGE))[0]
    names = {file["path"] for file in packed["files"]}
    found = {
        imported
        for name in names
        if name.endswith((".js", ".d.ts"))
        for imported in IMPORT.findall((PACKAGE / name).read_text())
    }
    outside = {"socket.io-client", "jobsphere-client", "../vendor/socket.io.esm.min.js"}
    assert {imported for imported in found if imported.removeprefix("./") not in names} == outside
    package, own = (json.loads((f / "package.json").read_text()) for f in (PACKAGE, ROOT))
    assert package["dependencies"].items() <= own["dependencies"].items()

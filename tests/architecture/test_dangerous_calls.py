"""Data is never run as a program: not by Python, by a shell, or by a browser."""

import ast
import re

import pytest

from tests.architecture.source_tree import imported, production, relative, sources, trees

BUILT_IN = {"eval", "exec", "compile", "__import__"}
MODULES = {"pickle", "marshal", "shelve", "yaml", "xml", "ctypes"}
ATTRIBUTES = {"system", "popen", "create_subprocess_shell", "getstatusoutput", "md5", "sha1"}
SETS_COOKIES = re.compile(r"\bset_cookie\b|Set-Cookie|document\.cookie")
PAUSES = {
    "domain/chat/group_commit.py",
    "domain/kernel/store.py",
    "server/workers/outbox_relay.py",
    "server/workers/scheduler.py",
}
# Markup made of text, programs made of text, and messages of other pages. `#channel` is the
# BroadcastChannel of client/session.js, which connects pages of one origin only.
IN_BROWSER = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc|createContextualFragment"
    r"|\beval\(|new Function|(?<!#channel\.)(?<!#channel\?\.)postMessage"
    r"|addEventListener\([\"']message"
)


def dangerous(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in BUILT_IN:
                found.add(name)
            case ast.Call(func=ast.Attribute(attr=name)) if name in ATTRIBUTES:
                found.add(name)
            case ast.keyword(arg="shell"):
                found.add("shell")
            case ast.Import(names=names):
                found |= {each.name for each in names if each.name.partition(".")[0] in MODULES}
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in MODULES:
                found.add(module)
    return found


def test_no_text_becomes_a_program_or_an_object() -> None:
    """Fails for a shell, `eval`, a format that makes any object, and hashes that are broken."""
    assert {path: found for path in production() if (found := dangerous(trees()[path]))} == {}


@pytest.mark.parametrize(
    "code",
    [
        "eval(text)",
        "import pickle",
        "from xml.etree import ElementTree",
        "os.system(line)",
        "subprocess.run(line, shell=True)",
        "hashlib.md5(data)",
    ],
)
def test_a_dangerous_call_is_found(code: str) -> None:
    assert dangerous(ast.parse(code))


def test_pages_make_no_markup_of_text() -> None:
    """Fails when a page puts text into the document as markup, or listens to other pages."""
    pages = sources("static", kinds=(".js", ".html"))
    assert len(pages) > 20
    assert [relative(path) for path in pages if IN_BROWSER.search(path.read_text())] == []
    # An import map is data, which the policy of its page allows by its hash.
    own = r"<script(?![^>]*\bsrc=)(?! type=\"importmap\">)[^>]*>\s*\S"
    inline = re.compile(own + r"|\son\w+=|javascript:", re.IGNORECASE)
    assert [
        relative(path)
        for path in pages
        if path.suffix == ".html" and inline.search(path.read_text())
    ] == []


def test_no_cookie_is_set() -> None:
    """Fails when a session begins to depend on cookies: then CSRF has to be looked at again."""
    files = [*sources("domain", "handlers", "server"), *sources("static", kinds=(".js",))]
    assert [relative(path) for path in files if SETS_COOKIES.search(path.read_text())] == []


def test_chance_decides_pauses_only() -> None:
    """Fails when `random`, which can be predicted, is used elsewhere; `secrets` is for the rest."""
    using = {
        path
        for path in production()
        if "random" in set(imported(path)) and not path.startswith("server/dev/")
    }
    assert using == PAUSES


def test_passwords_are_hidden_and_known_to_password_managers() -> None:
    """Fails for a field for a password that shows it, or that a manager of passwords cannot fill
    in."""
    text = "\n".join(path.read_text() for path in sources("static", kinds=(".js",)))
    fields = re.findall(r'<\$\{Field\}[^>]*label="[^"]*[pP]assword"[^>]*', text)
    assert len(fields) >= 5
    for field in fields:
        assert 'type="password"' in field and "autocomplete=" in field, field

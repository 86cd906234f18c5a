"""Which code may import which: folders, packages, and the single user of each driver.

Imports inside functions and for type checking count like any other.
"""

import sys
from collections.abc import Iterator

from tests.architecture.source_tree import CLIENT, graph, imported, production, trees

DATABASE = {"motor", "pymongo", "bson", "gridfs"}

# The packages of domain/ from the ground up, each with all that it imports. The imports found must
# equal the allowed ones: an unused permission fails the test.
ALLOWED = {
    "kernel": "",
    "ledger": "kernel",
    "ports": "kernel",
    "operations": "kernel ports",
    "accounts": "kernel ports operations",
    "files": "kernel ports operations",
    "deals": "kernel ledger ports files",
    "notifications": "kernel ports operations accounts",
    "presence": "kernel ports operations accounts",
    "audit_trail": "kernel ports operations notifications",
    "chat": "kernel ports operations accounts files notifications",
    "payouts": "kernel ledger ports operations accounts deals notifications",
    "jobs": "kernel ports operations accounts presence files chat",
    "wallet": "kernel ledger ports operations accounts deals notifications payouts",
    "payments": "kernel ledger ports operations accounts deals notifications payouts jobs",
    "bidding": "kernel ports operations accounts deals notifications chat jobs payments",
    "fulfillment": "kernel ports operations files deals notifications payouts jobs payments",
    "disputes": "kernel ledger ports operations files deals notifications chat payouts jobs"
    " payments fulfillment",
    "privacy": "kernel ledger ports operations accounts presence files deals notifications chat"
    " jobs payouts wallet fulfillment disputes",
    "home": "kernel ledger operations accounts deals notifications chat payouts jobs wallet"
    " disputes",
    "reconciliation": "kernel ledger ports operations accounts deals notifications payouts wallet"
    " payments disputes",
    "stripe_events": "kernel ports operations accounts deals notifications payouts wallet payments"
    " disputes",
    "admin": "kernel ledger ports operations accounts files deals notifications chat payouts wallet"
    " jobs payments fulfillment disputes reconciliation stripe_events audit_trail presence",
    "monitor": "kernel ledger ports operations accounts deals notifications payouts wallet jobs"
    " disputes stripe_events admin",
}
MAY_IMPORT_ALL = {"registry"}

# The same for server/. Only cli/main.py imports dev/, in the commands `dev`, `demo` and `seed`.
ALLOWED_SERVER = {
    "config": "money_settings redaction",
    "log_setup": "redaction",
    "pubsub": "runtime",
    "workers": "runtime",
    "adapters": "runtime caller config",
    "authentication": "adapters revocations",
    "password_attempts": "token_buckets",
    "rate_limits": "caller token_buckets password_attempts",
    "admission": "runtime config cross_origin problems token_buckets",
    "http": "runtime operation_calls authentication problems token_buckets",
    "meta": "config operation_calls rate_limits http realtime",
    "realtime": "runtime admission token_buckets operation_calls pubsub adapters authentication",
    "container": "runtime config demo_accounts pubsub adapters workers realtime",
    "app": "runtime config admission cross_origin disk_space readiness rate_limits refusal_log"
    " operation_calls revocations workers adapters authentication http meta realtime container",
    "dev": "runtime config log_setup disk_space demo_accounts dev_environment workers adapters http"
    " container app",
    "cli": "runtime config log_setup demo_accounts dev_environment rate_limits container app dev",
    "__main__": "cli",
}


def packages(path: str) -> set[str]:
    return {module.partition(".")[0] for module in imported(path)}


def test_imports_go_one_way() -> None:
    """Fails for an import against `handlers -> domain <- server`; only server/app.py composes."""
    wrong = []
    for path in production():
        found, folder = packages(path), path.partition("/")[0]
        forbidden = {
            "domain": {"handlers", "server", "tests", "aiohttp", "socketio", "stripe", "redis"},
            "handlers": {"server", "tests", "socketio", "stripe", "redis"},
            "server": {"tests"} if path == "server/app.py" else {"tests", "handlers"},
        }[folder]
        wrong += [(path, package) for package in found & forbidden]
    assert wrong == []


def test_the_client_package_stands_alone() -> None:
    """Fails when the Python client needs more than its pyproject.toml says, or this server."""
    mine = [path for path in trees() if path.startswith(f"{CLIENT}/")]
    assert len(mine) > 10
    others = {package for path in mine for package in packages(path)} - sys.stdlib_module_names
    assert others == {"jobsphere", "aiohttp", "socketio"}


def test_packages_of_the_domain_import_exactly_what_is_allowed() -> None:
    """Fails for an import that ALLOWED does not permit, and for a permission without an import."""
    found: dict[str, set[str]] = {package: set() for package in ALLOWED}
    for importer, package, other in across_packages("domain"):
        if package not in MAY_IMPORT_ALL:
            assert package in ALLOWED, f"{importer} is in no package of ALLOWED"
            found[package].add(other)
    assert found == {package: set(others.split()) for package, others in ALLOWED.items()}


def test_packages_of_the_server_import_exactly_what_is_allowed() -> None:
    """Fails for an import that ALLOWED_SERVER does not permit, and for an unused permission."""
    found: dict[str, set[str]] = {}
    for _, package, other in across_packages("server"):
        found.setdefault(package, set()).add(other)
    assert found == {package: set(others.split()) for package, others in ALLOWED_SERVER.items()}
    to_dev = {importer for importer, *pair in across_packages("server") if pair[1] == "dev"}
    assert to_dev == {"server.cli.main"}


def across_packages(folder: str) -> Iterator[tuple[str, str, str]]:
    """(module, its package, another package that it imports) for the packages of one folder."""
    for importer, others in graph().items():
        for other in others:
            first, second = importer.split("."), other.split(".")
            if first[0] == second[0] == folder and len(second) > 1 and first[1:2] != second[1:2]:
                yield importer, first[1] if len(first) > 1 else "", second[1]


def test_one_file_talks_to_each_provider() -> None:
    """Fails when another file imports the database's driver or Stripe's SDK."""
    database = [path for path in production() if packages(path) & DATABASE]
    stripe = [path for path in production() if "stripe" in packages(path)]
    assert database == ["domain/kernel/mongo_client.py", "domain/kernel/store.py"]
    assert stripe == [
        "server/adapters/stripe_connections.py",
        "server/adapters/stripe_gateway.py",
        "server/adapters/stripe_webhooks.py",
    ]


def test_the_stripe_sandbox_knows_none_of_our_rules() -> None:
    """Fails when the sandbox imports the domain: it would share the domain's mistakes."""
    wrong = [
        (path, module)
        for path in trees()
        if path.startswith("server/dev/stripe_sandbox/")
        for module in imported(path)
        if module.startswith(("domain", "handlers"))
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Fails for a circle of imports between files, type checking included."""
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for other in graph()[module]:
                visit(other, (*path, module))
            done.add(module)

    for module in graph():
        visit(module, ())

"""What a change of the contract means for clients: what breaks them, and what does not.

Both contracts are in the form that `model.contract` makes. Operations are compared by their names,
whatever their order.
"""

from collections.abc import Callable

from tests.contract.schema_changes import Change, Direction, Json, Schemas

Compare = Callable[[str, Json, Json], None]

# Facts of which each change breaks clients.
BREAKING = ("x-repeat", "x-socket", "x-http", "x-joins", "x-numbering", "security")


def compare(old: Json, new: Json) -> list[Change]:
    """The changes from one contract to another."""
    found = Comparison(old, new)
    found.common()
    found.operations("http", "operation", found.http)
    found.operations("sockets", "command or push", found.message)
    return list(dict.fromkeys(found.schemas.changes))


class Comparison:
    def __init__(self, old: Json, new: Json) -> None:
        self.old = old
        self.new = new
        self.schemas = Schemas(old["schemas"], new["schemas"])

    def note(self, where: str, what: str, *, breaks: bool) -> None:
        self.schemas.note(where, what, breaks=breaks)

    def common(self) -> None:
        """What all operations share: which of them take the headers follows from `x-repeat`."""
        before, after = self.old["statuses"], self.new["statuses"]
        for code in sorted(before.keys() & after.keys()):
            if before[code] != after[code]:
                self.note(code, f"its status is {after[code]}, not {before[code]}", breaks=True)
        envelopes = self.old["acknowledgement"], self.new["acknowledgement"]
        self.schemas.compare(*envelopes, "acknowledgement", Direction.ANSWER)
        self.parameters("headers", self.old["parameters"], self.new["parameters"])

    def operations(self, part: str, kind: str, compare: Compare) -> None:
        before, after = self.old[part], self.new[part]
        for name in sorted(before.keys() - after.keys()):
            self.note(name, f"the {kind} is gone", breaks=True)
        for name in sorted(after.keys() - before.keys()):
            self.note(name, f"a new {kind}", breaks=False)
        for name in sorted(before.keys() & after.keys()):
            self.facts(name, before[name], after[name])
            compare(name, before[name], after[name])

    def facts(self, name: str, old: Json, new: Json) -> None:
        for fact in BREAKING:
            if old.get(fact) != new.get(fact):
                self.note(name, f"{fact} is {new.get(fact)}, not {old.get(fact)}", breaks=True)
        roles, now = words(old, "x-roles"), words(new, "x-roles")
        if roles and now:
            for role in sorted(roles - now):
                self.note(name, f"refuses the role {role}", breaks=True)
            for role in sorted(now - roles):
                self.note(name, f"allows the role {role}", breaks=False)
        elif roles or now:
            self.note(name, "asks for a sign-in" if now else "is open to anyone", breaks=bool(now))
        known, codes = words(old, "x-codes"), words(new, "x-codes")
        for code in sorted(codes - known):
            self.note(name, f"may answer {code}", breaks=True)
        for code in sorted(known - codes):
            self.note(name, f"never answers {code} any more", breaks=False)

    # -- HTTP --------------------------------------------------------------------------------

    def http(self, name: str, old: Json, new: Json) -> None:
        if old["route"] != new["route"]:
            self.note(name, f"moved from {old['route']} to {new['route']}", breaks=True)
        self.parameters(name, old["parameters"], new["parameters"])
        if new["body"].get("required") and not old["body"].get("required"):
            self.note(name, "needs a body", breaks=True)
        bodies = (body.get("content", {}) for body in (old["body"], new["body"]))
        self.by_type(f"{name} body", *bodies, Direction.INPUT)
        before, after = old["answers"], new["answers"]
        for status in sorted(before.keys() - after.keys()):
            self.note(name, f"never answers {status} any more", breaks=True)
        for status in sorted(after.keys() - before.keys()):
            self.note(name, f"may answer {status}", breaks=status != "304")
        for status in sorted(before.keys() & after.keys()):
            where = f"{name} {status}"
            self.by_type(where, before[status], after[status], Direction.ANSWER)

    def parameters(self, name: str, before: Json, after: Json) -> None:
        for key in sorted(before.keys() - after.keys()):
            # A header that the server does not know is ignored, and any other parameter refused.
            self.note(name, f"the parameter {key} is gone", breaks=not key.startswith("header"))
        for key in sorted(after.keys() - before.keys()):
            self.note(name, f"{key} is a new parameter", breaks=after[key]["required"])
        for key in sorted(before.keys() & after.keys()):
            one, other = before[key], after[key]
            if other["required"] and not one["required"]:
                self.note(name, f"the parameter {key} is required", breaks=True)
            if other["written"] != one["written"]:
                self.note(name, f"{key} is written as {other['written']}", breaks=True)
            where = f"{name}, {key}"
            self.schemas.compare(one["schema"], other["schema"], where, Direction.INPUT)

    def by_type(self, where: str, before: Json, after: Json, direction: Direction) -> None:
        for kind in sorted(before.keys() - after.keys()):
            self.note(where, f"is never {kind} any more", breaks=True)
        for kind in sorted(after.keys() - before.keys()):
            self.note(where, f"may be {kind}", breaks=direction is Direction.ANSWER)
        for kind in sorted(before.keys() & after.keys()):
            self.schemas.compare(before[kind], after[kind], where, direction)

    # -- sockets -----------------------------------------------------------------------------

    def message(self, name: str, old: Json, new: Json) -> None:
        for fact in ("action", "namespace", "event"):
            if old[fact] != new[fact]:
                self.note(name, f"{fact} is {new[fact]}, not {old[fact]}", breaks=True)
        sent = Direction.INPUT if old["action"] == "receive" else Direction.ANSWER
        self.schemas.compare(old["payload"], new["payload"], name, sent)
        if ("answer" in old) != ("answer" in new):
            self.note(name, "is answered" if "answer" in new else "is not answered", breaks=True)
        elif "answer" in old:
            where = f"{name} answer"
            self.schemas.compare(old["answer"], new["answer"], where, Direction.ANSWER)


def words(operation: Json, fact: str) -> set[str]:
    return set(operation.get(fact, "").split())

"""What the READMEs promise in numbers and names is what the code does."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.accounts import (
    challenges,
    email_change,
    mailed_tokens,
    passkeys,
    password_policy,
    step_up,
)
from domain.accounts import second_factor as factors
from domain.accounts.mailed_tokens import Purpose
from domain.admin import activity, approval, find
from domain.chat import messages, typing_indicator, unread
from domain.disputes import timeline
from domain.files import file
from domain.jobs import applications, saved_searches, views
from domain.kernel import paging, text_types
from domain.kernel.errors import DomainError, Rule
from domain.kernel.outbox import Numbering
from domain.monitor.bucket import KEPT, Step
from domain.operations import idempotency, limits
from domain.payments import card_attempts
from domain.payouts import countries
from domain.ports import sessions
from domain.privacy import export
from domain.reconciliation import follow_up
from domain.stripe_events import inbox, payloads
from handlers import NAMESPACES
from handlers.job import PUBLIC_SECONDS
from handlers.meta import operations
from server import admission, app, config, disk_space, rate_limits
from server.adapters import file_inspector_process as inspector
from server.adapters import stripe_connections
from server.cli.main import app as command_line
from server.dev import sandbox_settings, supervision
from server.dev.run import _defaults
from server.http import routes, transfer_slots, uploads
from server.realtime import connection as connections
from server.realtime import engine, fast_transport, frame_walk
from server.realtime import server as realtime
from server.runtime import exit_limit, json_input
from tests.server.test_config import GOOD

ROOT = Path(__file__).parents[2]
MIB = 2**20
# Routes of no namespace, kinds of messages, Stripe's events and files.
UNLISTED = {"GET /api/openapi.json", "GET /api/asyncapi.json", "GET /api/meta"}
UNLISTED |= {"GET /api/admin/commissions.csv", "GET /api/wallet/statement.csv"}
FOREIGN = re.compile(r"job\.delivered|account\.(application|external_account)\..*|.*\.py")
MORE = (".github/CONTRIBUTING.md", "static/client/README.md", "static/client/python/README.md")
NUMBERS = (
    *("none", "one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)


def words(number: float) -> str:
    """A whole number as texts have it: up to twelve in letters."""
    assert number == int(number), number
    return NUMBERS[int(number)] if number <= 12 else f"{int(number):,}"


def minutes(time: timedelta) -> float:
    return time / timedelta(minutes=1)


def hours(time: timedelta) -> float:
    return time / timedelta(hours=1)


def days(time: timedelta) -> float:
    return time / timedelta(days=1)


def limit(operation: str, number: int = 0) -> limits.Limit:
    return operations()[operation].limits[number]


# For each file: a sentence with a place for each number, and the numbers of the code. A number in
# letters is at a place {:w}.
PROMISES: Mapping[str, list[tuple[str, tuple[float | str, ...]]]] = {
    "README.md": [
        ("**Tokens** live {} minutes", (minutes(sessions.ACCESS_LIFE),)),
        ("repeated within {} seconds (by a second tab", (sessions.REFRESH_REPEATED.seconds,)),
        ("may be repeated: for {} hours the first success", (hours(idempotency.REPLY_KEPT),)),
        ("access tokens stay valid for {w} hour longer", (hours(sessions.EXTENDED),)),
        ("API version {}.", (stripe_connections.VERSION,)),
        ("money arrives {} hours later", (hours(countries.RECIPIENT_DELAY),)),
        ("a network address has {w} times as many", (card_attempts.OF_A_NETWORK,)),
        ("within {} hours, or declines of one card", (hours(card_attempts.COUNTED),)),
        ("has to wait, {} minute and then twice", (minutes(card_attempts.FIRST_WAIT),)),
        (
            "a burst may be {w} seconds' worth; {} KiB of input, or {} KiB of an answer",
            (
                rate_limits.RateTable(1).of_user.slack,
                rate_limits.BYTES / 1024,
                limits.ANSWER_BYTES / 1024,
            ),
        ),
        (
            "one in {} seconds, with a burst of {w}, for each network",
            (
                limits.PASSWORDS_PER_ACCOUNT.seconds / limits.PASSWORDS_PER_ACCOUNT.requests,
                limits.PASSWORDS_PER_ACCOUNT.requests,
            ),
        ),
        (
            "The sandbox behaves as Stripe does: it keeps {} % and {} cents of each payment, and "
            "makes the money available after {w} days",
            (
                sandbox_settings.STRICT["fee_bps"] / 100,
                sandbox_settings.STRICT["fee_fixed"],
                sandbox_settings.STRICT["available_delay_seconds"] / 86_400,
            ),
        ),
        ("One may apply to the same job {w} times", (applications.MAX_APPLICATIONS,)),
        ("`typing` ends by itself after {} seconds", (typing_indicator.TYPING_SECONDS,)),
        ("kept by minute for {} days", (days(KEPT[Step.MINUTE]),)),
        ("what happened in the last {w} days", (days(activity.KEPT),)),
        ("tells what up to {} ids are called", (find.MAX_IDS,)),
        ("connects no namespace within {} s is closed", (engine.JOIN_SECONDS,)),
        ("`job.watch` by {} rooms", (realtime.ROOMS_PER_CONNECTION,)),
        (
            "New passwords have {} to {} characters",
            (password_policy.MIN_CHARACTERS, password_policy.MAX_CHARACTERS),
        ),
        (
            "JSON may be {} levels deep, with {} lists and objects",
            (json_input.MAX_DEPTH, f"{json_input.MAX_CONTAINERS:,}"),
        ),
        ("a query has at most {} parameters", (routes.MAX_PARAMETERS,)),
        ("A user has up to {} sessions", (sessions.MAX_SESSIONS,)),
        (
            "ends after {} days without use, and {} days after its sign-in",
            (days(sessions.SESSION_LIFE), days(sessions.LONGEST_SESSION)),
        ),
        ("`job.update` is limited to {} at once", (limit("job.update").requests,)),
        (
            "then one in {} seconds, `job.deliver` to {}, then one a minute",
            (
                limit("job.update").seconds / limit("job.update").requests,
                limit("job.deliver").requests,
            ),
        ),
        ("Lists end at {} KiB", (paging.PAGE_BYTES / 1024,)),
        (
            "the `payload` that Stripe sent, without personal fields, for {} days",
            (days(payloads.KEPT),),
        ),
        ("confirms the session for {w} minutes", (minutes(step_up.LIFE),)),
        (
            "latest entries of the `timeline` ({}, or {} KiB)",
            (timeline.SHOWN_ENTRIES, timeline.SHOWN_BYTES / 1024),
        ),
        (
            "writes up to {} entries of {} KiB in total",
            (timeline.MAX_ENTRIES, timeline.MAX_BYTES / 1024),
        ),
        (
            "`email_change` is limited to {w} in a day",
            (limit("account.email_change", -1).requests,),
        ),
        ("count together within {} hours", (hours(approval.LIFE),)),
    ],
    "domain/README.md": [
        ("Events are kept for {} days", (days(inbox.KEPT),)),
        ("secret and personal fields, for {} days", (days(payloads.KEPT),)),
        (
            "has waited longer than {} minute, {} minutes, {} hour, then daily",
            (*map(minutes, follow_up.FIRST_CHECKS[:2]), hours(follow_up.FIRST_CHECKS[2])),
        ),
    ],
    "handlers/README.md": [
        ("A text has at most {w} bytes a character in UTF-8", (text_types.BYTES,)),
        ("`head` `{head, seen}` comes every {} seconds", (app.HEAD_SECONDS,)),
        (
            "New passwords have {} to {} characters",
            (password_policy.MIN_CHARACTERS, password_policy.MAX_CHARACTERS),
        ),
        (
            "The mailed token is valid for {} minutes and once",
            (minutes(mailed_tokens.LIFE[Purpose.RESET]),),
        ),
        (
            "may ask {w} times in {w} minutes",
            (limits.MAILS_PER_ADDRESS.requests, limits.MAILS_PER_ADDRESS.seconds / 60),
        ),
        (
            "An address gets {w} mails of one kind (registration, verification, reset) in half an "
            "hour and {w} in a day",
            tuple(number for number, _ in mailed_tokens.ALLOWANCES),
        ),
        ("A new address gets {} links of changes in a day", (email_change.MAILS_A_DAY,)),
        (
            "when both were opened, within {} hours",
            (hours(mailed_tokens.LIFE[Purpose.EMAIL_AGREE]),),
        ),
        (
            "refuses the change, or undoes it for {w} days",
            (days(mailed_tokens.LIFE[Purpose.EMAIL_UNDO]),),
        ),
        ("added none within {w} days", (days(email_change.SUSPECT),)),
        ("unless they signed in within {w} minutes", (minutes(step_up.LIFE),)),
        ("a code is void after {w} attempts", (mailed_tokens.ATTEMPTS,)),
        ("come {w} `recovery_codes`", (factors.RECOVERY_CODES,)),
        ("Challenges are signed, valid for {w} minutes", (minutes(challenges.LIFE),)),
        (
            "an account has {} codes in {} minutes",
            (factors.CODES_PER_ACCOUNT.requests, factors.CODES_PER_ACCOUNT.seconds / 60),
        ),
        ("A user has at most {} passkeys", (passkeys.MOST_PASSKEYS,)),
        ("It holds for {w} minutes of this session", (minutes(step_up.LIFE),)),
        ("reach {} KiB as JSON", (paging.PAGE_BYTES / 1024,)),
        ("Caches may keep these answers for {} s", (PUBLIC_SECONDS,)),
        (
            "times the connections that receive it: {} MiB at once, then {} MiB a second",
            (
                views.MARKET_PUSHES.requests * limits.PUSHED_BYTES / MIB,
                views.MARKET_PUSHES.requests
                / views.MARKET_PUSHES.seconds
                * limits.PUSHED_BYTES
                / MIB,
            ),
        ),
        ("at most {} searches for each user", (saved_searches.MAX_SEARCHES,)),
        ("to users up to {} MiB in total", (saved_searches.MAX_PUSHED_BYTES / MIB,)),
        ("of the newest {}.", (unread.MOST_COUNTED,)),
        ("in one's own conversations (the {} most recent)", (messages.SEARCHED,)),
        ("by the server, {} seconds after", (typing_indicator.TYPING_SECONDS,)),
        ("one file of at most {} MiB", (file.MAX_FILE / MIB,)),
        ("Pictures of at most {} megapixels", (inspector.MAX_PIXELS / 1_000_000,)),
        (
            "each user has {} GiB in {} files",
            (file.MAX_BYTES / 2**30, f"{file.MAX_FILES:,}"),
        ),
        (
            "{} uploads in a burst, then one in {w} seconds; {} of one user, {} of one address and "
            "{} of all",
            (
                limit("files.upload").requests,
                limit("files.upload").seconds / limit("files.upload").requests,
                uploads.UPLOADS_OF_USER,
                uploads.UPLOADS_OF_NETWORK,
                uploads.ALL_UPLOADS,
            ),
        ),
        (
            "comes at {} KiB a second or faster, after {w} seconds of grace",
            (transfer_slots.LEAST_SPEED / 1024, transfer_slots.GRACE_SECONDS),
        ),
        ("for one file and {} seconds", (file.TICKET_LIFE.seconds,)),
        ("reads at most {} files at the same time", (routes.DOWNLOADS_OF_USER,)),
        (
            "of its `timeline`, at most {} and {} KiB",
            (timeline.SHOWN_ENTRIES, timeline.SHOWN_BYTES / 1024),
        ),
        (
            "writes up to {} entries and {} KiB",
            (timeline.MAX_ENTRIES, timeline.MAX_BYTES / 1024),
        ),
        ("after {} hours it is `expired`", (hours(approval.LIFE),)),
        ("kept for {w} days. `account` `delete`", (days(export.EXPORT_LIFE),)),
    ],
    "server/README.md": [
        ("from {} MiB of unsent data on", (fast_transport.MAX_UNSENT_BYTES / MIB,)),
        ("makes no progress for {} s", (engine.STALLED_SECONDS,)),
        ("connects no namespace on that process for {} s", (connections.CUT_RETRY_SECONDS,)),
        ("parsed in slices of {} frames", (frame_walk.FRAMES_AT_ONCE,)),
        ("newly opened in {} s |", (admission.REFILL_SECONDS,)),
        ("more than {} refused in a second are reset", (admission.REFUSALS,)),
        (
            "`CONNECTIONS_PER_ADDRESS` in {} s, twice that at once",
            (1 / admission.REQUESTS_PER_SECOND,),
        ),
        ("{} MiB unsent in all, 1 MiB each", (engine.MAX_POLLED_BYTES / MIB,)),
        (
            "| {} of a connection, {} of a user |",
            (realtime.ROOMS_PER_CONNECTION, f"{realtime.ROOMS_PER_USER:,}"),
        ),
        ("headers of the first request | {} s", (admission.HEADER_SECONDS,)),
        ("are not read | {} KiB in the kernel", (admission.UNREAD / 1024,)),
        (
            "| {} KiB/s from the {}th second on; {} s for a body of polling",
            (
                admission.BODY_RATE / 1024,
                int(admission.BODY_SECONDS),
                connections.POST_SECONDS,
            ),
        ),
        ("an answer that is not read | {} s", (admission.STALLED_SECONDS,)),
        ("between two requests | {} s", (admission.IDLE_SECONDS,)),
        ("a socket without a namespace | {} s", (engine.JOIN_SECONDS,)),
        ("a silent socket | {} s after a ping", (engine.PING_TIMEOUT,)),
        ("reads something from each store every {w} seconds", (supervision.LOOK_SECONDS,)),
        ("gives no answer for {} s", (supervision.HANG_SECONDS,)),
        (
            "{} failed starts in {w} minutes",
            ("Five", supervision.WINDOW_SECONDS / 60),
        ),
        (
            "less than {} MiB (or {} %) free",
            (disk_space.FLOOR_BYTES / MIB, disk_space.FLOOR_SHARE * 100),
        ),
        ("exit code {} after", (exit_limit.UNFINISHED,)),
        ("A password ({} characters or more", (password_policy.MIN_CHARACTERS,)),
        (
            "end after {} days without use and {} days after the sign-in; an access token lives {} "
            "minutes. A user has up to {}",
            (
                days(sessions.SESSION_LIFE),
                days(sessions.LONGEST_SESSION),
                minutes(sessions.ACCESS_LIFE),
                sessions.MAX_SESSIONS,
            ),
        ),
        ("A key is {} random bytes", (config.MIN_KEY_BYTES,)),
    ],
}


def promised() -> Iterator[tuple[str, str]]:
    for name, promises in PROMISES.items():
        for sentence, values in promises:
            found = iter(values)

            def value(place: re.Match[str], found: Iterator[float | str] = found) -> str:
                each = next(found)
                if isinstance(each, str):
                    return each
                return words(each) if place[0] == "{w}" else f"{each:g}"

            yield name, re.sub(r"\{w?\}", value, sentence)
            assert not list(found), sentence


def test_numbers_are_those_of_the_code() -> None:
    """Guard: none; what the READMEs say."""
    texts = {name: " ".join((ROOT / name).read_text().split()) for name in PROMISES}
    missing = [f"{name}: {text}" for name, text in promised() if text not in texts[name]]
    assert missing == []


def table(name: str, *, after: str = "") -> list[list[str]]:
    """The cells of all rows of tables, from a heading on to the next one."""
    text = "\n" + (ROOT / name).read_text()
    if after:
        text = text[text.index(f"\n{after}\n") + len(after) + 2 :].partition("\n#")[0]
    rows = (line[1:-1].split(" | ") for line in text.splitlines() if line.startswith("| "))
    return [[cell.strip() for cell in row] for row in rows]


def quoted(text: str) -> list[str]:
    return re.findall("`([^`]+)`", text)


def sentence(name: str, begins: str, ends: str) -> str:
    text = (ROOT / name).read_text()
    start = text.index(begins)
    return text[start : text.index(ends, start)]


def test_settings_have_the_defaults_that_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """In production and under `server dev`. Guard: `config.load` and `dev.run._defaults`."""
    defaults: dict[str, str] = {}
    read = config._Reader.__call__

    def note(self: Any, name: str, default: str | None, *rest: Any) -> Any:
        defaults[name] = "required" if default is None else default
        return read(self, name, default, *rest)

    monkeypatch.setattr(config._Reader, "__call__", note)
    config.load(GOOD | {"PUBLIC_URL": "https://public.example"})
    written: dict[str, str] = {}
    in_development: dict[str, str] = {}
    of_host = {"`no-reply@` host of `PUBLIC_URL`": "no-reply@public.example"}
    of_host["`mailto:security@` host of `PUBLIC_URL`"] = "mailto:security@public.example"
    for names, default, *_ in table("README.md", after="## Configuration")[1:]:
        default, _, development = default.partition(" (`server dev`: ")
        values = [of_host[default]] if default in of_host else quoted(default) or [default]
        values = values * len(quoted(names)) if len(values) == 1 else values
        written |= dict(zip(quoted(names), values, strict=True))
        if development:
            (in_development[quoted(names)[0]],) = quoted(development)
    assert written.pop("MONGO_BIN") == "-"  # only of `server dev`
    same = {"PUBLIC_URL": "http://localhost:PORT", "CORS_ORIGINS": "PUBLIC_URL"}
    same["STRIPE_API_BASE"] = "Stripe"
    assert {name: written.pop(name) for name in same} == same
    assert [defaults.pop(name) for name in same][1:] == ["https://public.example", ""]
    assert {name: "" if value == "-" else value for name, value in written.items()} == defaults
    assert in_development == {
        name: value for name, value in _defaults({}).items() if name != "CORS_ORIGINS"
    }


def test_tables_name_what_there_is() -> None:
    """Guard: none; what the READMEs say of namespaces, pushes, rules, facts, step-ups, packages."""
    name = "handlers/README.md"
    spaces = {space.name: space for space in NAMESPACES if space.pushes}
    rows = {quoted(row[0])[0]: row[1:] for row in table(name) if row[0][:2] == "`/"}
    assert rows.keys() == spaces.keys()
    numbering: dict[str, Numbering] = {}
    for space, (commands, pushes) in rows.items():
        exposed = {each.event for each in spaces[space].exposed if each.event}
        assert {*commands.split(", ")} == exposed, space
        events = {event.name: event.numbering for event in spaces[space].pushes}
        short = {event.removeprefix("offer.") for event in events}
        assert {each.removeprefix("offer.") for each in pushes.split(", ")} == short, space
        numbering |= events
    unnumbered = sentence(name, "may be missed and have `seq: null`", "`head` `{head, seen}`")
    assert {*quoted(unnumbered)} - {"seq: null"} == {
        event for event, kind in numbering.items() if kind in (Numbering.NEVER, Numbering.PARTIES)
    }

    rules = table(name, after="## Refused input")[1:]
    assert [rule for row in rules for rule in quoted(row[0])] != [] and {
        rule for row in rules for rule in quoted(row[0])
    } == {*Rule}
    facts = {fact for row in table(name, after="## Documents") for fact in quoted(row[0])}
    sources = "".join(path.read_text() for path in (ROOT / "handlers/documents").glob("*.py"))
    assert facts == {*re.findall(r'"(x-[a-z-]+)"', sources)} - {"x-enum-varnames"}

    asks = sentence(name, "It holds for", "With `REQUIRE_SECOND_FACTOR=off`")
    asked = {op.name for op in operations().values() if op.step_up} - {"wallet.withdraw"}
    assert {*quoted(asks)} - {"admin"} == {each.partition(".")[2] for each in asked}

    for place, after in (("domain", "# domain: what is true"), ("tests", "# tests")):
        folders = {path.parent.name for path in (ROOT / place).glob("*/__init__.py")}
        rows_ = table(f"{place}/README.md", after=after)
        known = {each.strip("/") for row in rows_ for each in quoted(row[0])}
        assert folders <= known, place
        assert [each for each in known if not (ROOT / place / each).exists()] == []


def test_what_texts_refer_to_exists() -> None:
    """Links with their headings, targets of make, commands of the server, operations, pushes,
    routes, and error codes with their statuses. Guard: none."""
    exposed = [each for space in NAMESPACES for each in space.exposed]
    routes_ = {f"{each.route.method} {each.route.path}" for each in exposed if each.route}
    names = {*operations()} | {each.name for space in NAMESPACES for each in space.pushes}
    names |= {f"{space.name[1:]}.{each.name}" for space in NAMESPACES for each in space.pushes}
    spaces = {space.name.strip("/") for space in NAMESPACES} | {"job-request"}
    statuses = {str(each.code): each.status for each in every(DomainError)}
    targets = {*re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)}
    functions = [each.callback for each in command_line.registered_commands if each.callback]
    named = {each.name or "" for each in command_line.registered_commands}
    commands = named | {each.__name__.replace("_", "-") for each in functions}
    commands |= {str(group.name) for group in command_line.registered_groups}
    missing = []
    for name in (*PROMISES, "tests/README.md", *MORE):
        text = (ROOT / name).read_text()
        for linked, anchor in re.findall(r"\]\(((?!https?:)[^)#\s]*)#?([^)\s]*)\)", text):
            path = (ROOT / name).parent / linked if linked else ROOT / name
            if not path.exists() or (anchor and anchor not in headings(path)):
                missing.append(f"{name}: {linked}#{anchor}")
        made = {*re.findall(r"[`\s]make ([a-z-]+)`", text)} - targets
        called = {*re.findall(r"(?:python -m |`)server ([a-z-]+)", text)} - commands
        used = {*re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /api/[^`? ]*)", text)}
        used = {re.sub(r" \{.*", "", each) for each in used} - routes_ - UNLISTED
        said = {each for each in re.findall(r"`([a-z-]+\.[a-z_.]+)`", text)}
        said = {each for each in said if each.partition(".")[0] in spaces} - names
        said = {each for each in said if not FOREIGN.fullmatch(each)}
        missing += [f"{name}: {each}" for each in (*made, *called, *used, *said)]
        for code, status in re.findall(r"`([a-z_]+)` \((\d{3})\b", text):
            if statuses.get(code) != int(status):
                missing.append(f"{name}: {code} ({status})")
    assert missing == []


def every(error: type[DomainError]) -> Iterator[type[DomainError]]:
    yield error
    for each in error.__subclasses__():
        yield from every(each)


def headings(path: Path) -> set[str]:
    """The anchors of a text. Source: GitHub's, lower case, spaces as hyphens, no other signs."""
    found = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in found}

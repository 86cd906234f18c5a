"""Refused input: one sentence for a person, the field, the rule and its limit for a program."""

from typing import Any

import msgspec
import pytest

from domain.kernel.errors import Invalid, Rule
from domain.operations.field_types import fields_of
from domain.operations.operation import Operation
from handlers import NAMESPACES

OPERATIONS: dict[str, Operation] = {
    each.operation.name: each.operation for names in NAMESPACES for each in names.exposed
}
OFFER = {
    "job_id": "job_1",
    "contractor_id": "usr_1",
    "amount": 100,
    "currency": "USD",
    "description": "Two coats.",
    "timeline_days": 3,
}
PERSON = {"email": "a@b.test", "password": "x", "name": "Ada", "role": "customer"}
DATE = "give a date and time with a time zone, such as 2026-01-31T12:00:00Z, or a date."
HALF = {"title": "Half", "amount": 50}
STATES = ["open", "assigned", "in_progress", "completed", "cancelled"]


def refused(name: str, fields: Any, *, text: bool = False) -> Invalid:
    with pytest.raises(Invalid) as caught:
        OPERATIONS[name].parse(fields, text=text)
    return caught.value


@pytest.mark.parametrize(
    ("name", "fields", "field", "sentence", "rule", "limit"),
    [
        (
            "account.register",
            PERSON | {"email": "a"},
            "email",
            "this is not an e-mail address.",
            "format",
            None,
        ),
        (
            "account.register",
            PERSON | {"email": ""},
            "email",
            "this is not an e-mail address.",
            "format",
            None,
        ),
        (
            "account.register",
            PERSON | {"email": "a" * 255},
            "email",
            "use at most 254 characters.",
            "max_length",
            254,
        ),
        (
            "account.register",
            PERSON | {"email": 1},
            "email",
            "give an e-mail address.",
            "type",
            None,
        ),
        (
            "account.register",
            PERSON | {"name": ""},
            "name",
            "this must not be empty.",
            "min_length",
            1,
        ),
        (
            "account.register",
            PERSON | {"role": "admin"},
            "role",
            "choose customer or contractor.",
            "choice",
            ["customer", "contractor"],
        ),
        (
            "account.register",
            PERSON | {"role": 1},
            "role",
            "choose customer or contractor.",
            "choice",
            ["customer", "contractor"],
        ),
        (
            "account.register",
            {"email": "a@b.test"},
            "password",
            "this is required.",
            "required",
            None,
        ),
        (
            "account.verify",
            {"code": "12345a"},
            "code",
            "give a code of six digits.",
            "pattern",
            None,
        ),
        (
            "account.onboard",
            {"country": "XX"},
            "country",
            "give the code of a country where Stripe pays out, such as US.",
            "choice",
            ...,
        ),
        ("bidding.create", OFFER | {"amount": 0}, "amount", "this must be at least 1.", "min", 1),
        (
            "bidding.create",
            OFFER | {"amount": 10**9},
            "amount",
            "this must be at most 99999999.",
            "max",
            99_999_999,
        ),
        ("bidding.create", OFFER | {"amount": 1.5}, "amount", "give a whole number.", "type", None),
        (
            "bidding.create",
            OFFER | {"currency": "U$D"},
            "currency",
            "give a currency code of three letters, such as USD.",
            "pattern",
            None,
        ),
        (
            "bidding.create",
            OFFER | {"payment_method": "card"},
            "payment_method",
            "give the id of a payment method, which begins with pm_.",
            "pattern",
            None,
        ),
        (
            "bidding.create",
            OFFER | {"milestones": [HALF] * 21},
            "milestones",
            "use at most 20 items.",
            "max_length",
            20,
        ),
        (
            "bidding.create",
            OFFER | {"milestones": [HALF, HALF | {"amount": 0}]},
            "milestones[1].amount",
            "this must be at least 1.",
            "min",
            1,
        ),
        (
            "bidding.create",
            OFFER | {"milestones": [HALF, HALF | {"title": " "}]},
            "milestones[1].title",
            "give text with at least one visible character.",
            "pattern",
            None,
        ),
        (
            "bidding.create",
            OFFER | {"milestones": [HALF, {"title": "Half"}]},
            "milestones[1].amount",
            "this is required.",
            "required",
            None,
        ),
        (
            "bidding.create",
            OFFER | {"milestones": [HALF | {"surprise": 1}]},
            "milestones[0].surprise",
            "there is no such field.",
            "unknown",
            None,
        ),
        (
            "bidding.create",
            OFFER | {"milestones": [HALF, HALF | {"title": "a\0"}]},
            "milestones[1].title",
            "null characters are not allowed.",
            "format",
            None,
        ),
        (
            "bidding.create",
            OFFER | {"milestones": [None]},
            "milestones[0]",
            "give an object.",
            "type",
            None,
        ),
        ("job.list", {"radius_km": 0}, "radius_km", "this must be more than 0.", "above", 0),
        (
            "job.list",
            {"near": {"lon": 181, "lat": 0}},
            "near.lon",
            "this must be at most 180.",
            "max",
            180,
        ),
        (
            "job.list",
            {"status": "x' - at `$.q`"},
            "status",
            "choose open, assigned, in_progress, completed or cancelled.",
            "choice",
            STATES,
        ),
        ("job.list", {"x" * 500: 1}, "x" * 80, "there is no such field.", "unknown", None),
        (
            "chat.sync",
            {"conversations": {"c_1": -1}},
            "conversations",
            "one of its values is wrong: this must be at least 0.",
            "min",
            0,
        ),
        (
            "chat.sync",
            {"conversations": {"": 1}},
            "conversations",
            "one of its keys is wrong: this must not be empty.",
            "min_length",
            1,
        ),
        ("admin.payments", {"since": "2026-01"}, "since", DATE, "format", None),
        ("admin.payments", {"since": "2026-01-31T12:00:00"}, "since", DATE, "format", None),
        ("admin.payments", {"since": 3}, "since", DATE, "type", None),
        (
            "admin.payments",
            {"since": "0001-01-01T00:00:00+14:00"},
            "since",
            "give a date in the years 1 to 9999, in UTC.",
            "format",
            None,
        ),
    ],
)
def test_each_rule_has_a_plain_sentence(
    name: str, fields: Any, field: str, sentence: str, rule: str, limit: Any
) -> None:
    """Guard: `input_errors.refused_input`, `field_types.type_at`, `input_errors.null_character` and
    the `expected` of patterns."""
    error = refused(name, fields)
    assert str(error) == f"{field}: {sentence}"
    told = {"field": field, "rule": rule} | ({} if limit is None else {"limit": limit})
    assert error.details | ({"limit": ...} if limit is ... else {}) == told


@pytest.mark.parametrize(
    ("field", "value", "sentence", "rule"),
    [
        ("limit", "many", "give a whole number.", Rule.TYPE),
        ("limit", "101", "this must be at most 100.", Rule.MAX),
        ("radius_km", "far", "give a number.", Rule.TYPE),
        ("skills", "wood", "give a list.", Rule.TYPE),
        ("near", "here", "give an object.", Rule.TYPE),
        ("radius_km", "null", "give a number.", Rule.TYPE),
        ("status", "null", f"choose {', '.join(STATES[:-1])} or {STATES[-1]}.", Rule.CHOICE),
    ],
)
def test_queries_are_refused_in_the_same_words(
    field: str, value: str, sentence: str, rule: Rule
) -> None:
    """Guard: `input_errors.refused_input` for text, as in a query string, and
    `input_errors.missing_value`: a query has no null."""
    error = refused("job.list", {field: value}, text=True)
    assert (str(error), error.details["rule"]) == (f"{field}: {sentence}", rule)


def test_whole_numbers_may_have_a_fraction_of_zero() -> None:
    """Guard: `normalization.with_whole_numbers`: JSON Schema counts 100.0 as an integer, too."""
    milestones = [{"title": "All", "amount": 100.0}]
    written = OFFER | {"amount": 100.0, "milestones": milestones}
    fields, command = OPERATIONS["bidding.create"].parse(written, text=False)
    assert msgspec.json.encode(fields["amount"]) == b"100"
    assert msgspec.to_builtins(command)["milestones"][0]["amount"] == 100
    assert refused("bidding.create", OFFER | {"amount": 0.0}).details["rule"] == Rule.MIN


def test_a_time_is_no_number_in_a_query() -> None:
    """Guard: `command._moment`: msgspec takes a number of seconds, which is not documented."""
    for number in ("0", "0.5", "253402300800"):
        assert str(refused("admin.payments", {"since": number}, text=True)) == f"since: {DATE}"


def test_what_is_not_visible_is_no_text() -> None:
    """Guard: `text_rules.is_visible` in `text_types.Written`."""
    for space in ("\x1d", "\x85", "\u00a0", "\u2003", "\ufeff", "\u3164", "\u200b", "\u2800"):
        error = refused("job.search_save", {"name": space * 2})
        assert error.details["rule"] == Rule.PATTERN, space


def test_every_pattern_says_what_it_stands_for() -> None:
    """Fails for a `pattern` in the limits of a field without words of what is `expected`."""
    wrong = [
        (name, path)
        for name, op in OPERATIONS.items()
        for path, kind in fields_of(op.command)
        if getattr(kind.type, "pattern", None) and not kind.expected
    ]
    assert wrong == []


def test_descriptions_are_phrases_that_follow_give() -> None:
    """Guard: `input_errors._expected`: the sentence is "give ..."."""
    for op in OPERATIONS.values():
        for _, kind in fields_of(op.command):
            if text := kind.expected:
                assert text[0].isupper() and text.endswith(".") and text.count(".") == 1, text


def test_a_hand_written_refusal_has_the_same_form() -> None:
    """Guard: `errors.Invalid` puts the field in front of the sentence."""
    error = Invalid("this is your address already.", field="email", rule=Rule.VALUE)
    assert str(error) == "email: this is your address already."
    assert msgspec.json.encode(error.details) == b'{"field":"email","rule":"value"}'

"""How structs look on the wire, and that a difference is found."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import pytest

from domain.accounts.user import User
from domain.kernel.actor import Role
from domain.kernel.fields import about
from domain.kernel.record import Page, wire
from handlers.documents.wire_types import WireTypes, first_paragraph
from tests.support import documented

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
USER = User(
    id="usr_1",
    created_at=NOW,
    updated_at=NOW,
    email="clara@example.com",
    name="Clara",
    role=Role.CUSTOMER,
    password_hash="secret",
)


class Place(msgspec.Struct, forbid_unknown_fields=True):
    """A place.

    The rest is for those who read the code.
    """

    label: Annotated[str, about("What it is called.")] = ""


def answered(**changes: Any) -> Any:
    """A user as `account.me` answers, as a client decodes it."""
    return msgspec.json.decode(msgspec.json.encode(wire(USER))) | changes


def test_an_answer_has_all_public_fields_and_no_others() -> None:
    """Guard: `WireTypes._make`: private fields are left out, and fields with defaults required."""
    kinds = documented.ANSWERS["account.me"]
    assert documented.misfit(answered(), kinds) is None
    assert "password_hash" not in kinds[0].__struct_fields__
    missing = answered()
    del missing["headline"]
    assert "headline" in str(documented.misfit(missing, kinds))
    assert "unknown field" in str(documented.misfit(answered(secret=1), kinds))
    assert "Expected `int`" in str(documented.misfit(answered(version="1"), kinds))
    assert documented.misfit(answered(created_at="2026-03-02T09:30:00"), kinds)  # without a zone


def test_each_alternative_of_an_answer_counts() -> None:
    """Guard: `WireTypes.answers` for a union of structs."""
    kinds = documented.ANSWERS["account.email_change"]
    assert documented.misfit({}, kinds) is None
    assert documented.misfit({"agreement_required": True}, kinds) is None
    assert documented.misfit({"agreement_required": False}, kinds)


def test_fields_of_commands_keep_their_defaults() -> None:
    """Guard: `WireTypes._make` for commands; the struct of an answer is another one."""
    types = WireTypes()
    (page,) = types.answers(Page[Place])
    fields = types.fields("PlaceFields", Place)
    _, components = msgspec.json.schema_components([page, fields])
    assert list(components) == ["PlacePage", "Place", "PlaceFields"]
    assert components["Place"]["required"] == ["label"]
    assert "additionalProperties" not in components["Place"]
    assert components["PlaceFields"]["required"] == []
    assert components["PlaceFields"]["additionalProperties"] is False
    assert components["Place"]["properties"]["label"]["description"] == "What it is called."
    assert components["Place"]["description"] == first_paragraph(Place.__doc__) == "A place."


def test_two_structs_have_two_names() -> None:
    """Guard: `two schemas are called` in `WireTypes._make`."""
    other = msgspec.defstruct("Place", [("lon", float)])
    types = WireTypes()
    types.answers(Place)
    with pytest.raises(AssertionError, match="two schemas are called Place"):
        types.answers(other)


@pytest.mark.made_up
@pytest.mark.parametrize(("seq", "found"), [(None, ""), (7, documented.MARK)])
def test_the_number_of_a_push_is_checked(
    seq: int | None, found: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Guard: `Event.numbering`: `job.closed` has no number."""
    documented.check_push("/job", "job.closed", seq, {"job_id": "job_1"})
    assert found in capsys.readouterr().err


@pytest.mark.made_up
def test_a_code_and_a_status_that_are_not_documented_are_found(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Guard: `x-codes` of the documents."""
    refused = {"code": "job_taken", "message": "Taken.", "details": {}}
    documented.check_ack("/account", "me", {"ok": False, "error": refused})
    documented.check_response("GET", "/api/account/me", 418, {})
    documented.check_response("GET", "/api/job/job_1", 404, {"code": "not_found", "details": {}})
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2] for line in lines] == [
        "account.me: code job_taken",
        "account.me: HTTP status 418: {}",
    ]

"""Why a request that fits its schema may be refused all the same."""

from typing import Any

# For what it says, or because a field needs another one.
RULES = {"value", "required"}
# For what a schema could say only at length: (rule, field).
FIELDS = {
    ("format", "cursor"),  # taken from an answer
    ("format", "passkey"),  # made by an authenticator
    ("format", "start"),  # in a year that has statements
    ("format", "end"),
    ("format", "file"),  # the form has one file, and nothing else
    ("max_length", "file"),
    ("min_length", "reason"),  # without its invisible characters
    ("max", "seq"),  # of a message that exists
    ("min", "budget_max_amount"),  # not below the other
    ("choice", "currency"),  # one of those that the deployment settles
    ("multiple_of", "amount"),  # in steps of its currency
    ("format", None),  # JSON within the bounds of `server/runtime/json_input.py`
}
# Of texts with characters that are refused, or none that is visible: `domain/kernel/text_rules.py`.
TEXTS = ("null characters are not allowed.", "visible character.", "direction of the text.")


def is_beyond_schemas(code: str, text: str, details: dict[str, Any]) -> bool:
    """Whether a refusal has a reason that is not in the schema. Other codes than `invalid` have."""
    rule, field = details.get("rule"), details.get("field")
    return code != "invalid" or rule in RULES or (rule, field) in FIELDS or text.endswith(TEXTS)

"""JSON from clients: what is refused before it is parsed, and what is not."""

import json

import pytest

from server.runtime.json_input import MAX_CONTAINERS, MAX_DEPTH, decode


@pytest.mark.parametrize(
    "text",
    [
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        '{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1),
        "[" + "[]," * MAX_DEPTH + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "]",
        "[" * 64_000,
        "[{" * 32_000,
        "[" + "{}," * MAX_CONTAINERS + "{}]",
        "[" + "1e308," * 10_000 + "1]",
        '["' + "x" * 600 + '",-5.0E-324]',
        '[,1e308"' + '\\"' * 30_000,  # an open string
    ],
)
def test_refused_before_it_is_parsed(text: str) -> None:
    """Guard: `json_input._check`; without it msgspec takes these, or 90 ms to refuse them."""
    with pytest.raises(ValueError, match=r"nested|more than|a number"):
        decode(text)


@pytest.mark.parametrize(
    "value",
    [
        ["[" * 10_000, "{" * 10_000, '"' * 99, "\\"],
        [[], *[{"text": ", 1e308 [[["}] * 600],
        [f"x 5e{n} y" for n in range(2000)],
        {"deep": json.loads("[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1))},
        [1.5e22, -1e-7, 12345678901234567, 0.1, *range(1000)],
    ],
)
def test_accepted(value: object) -> None:
    """Guard: `json_input.STRING`: text is not counted; `json_input.EXTREME`: usual numbers pass."""
    assert decode(json.dumps(value)) == value

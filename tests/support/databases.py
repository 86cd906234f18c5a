"""What the embedded database in Rust lacks, as of secantusd-rs 0.5.3-beta.196.

A test that needs it says so and is skipped there.
"""

import os

import pytest

MISSING = {
    "freed keys": "an update leaves the old key in a unique index, and no other row can take it",
    "planned indexes": "its planner takes the order before a geographic index",
    "our launcher": "server/dev/mongo.py starts the database in Python only",
}


def needs(*features: str) -> pytest.MarkDecorator:
    """Skip the test on the database in Rust. Raises KeyError for a feature that it has."""
    reason = "; ".join(MISSING[feature] for feature in features)
    return pytest.mark.skipif(bool(os.environ.get("MONGO_BIN")), reason=reason)

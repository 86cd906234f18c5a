"""The contract is the one that is stored, so that every change of it is seen and said."""

import re

from handlers import CONTRACT_VERSION
from tests.contract.compatibility import compare
from tests.contract.snapshot import CHANGELOG, RENEW, SNAPSHOT, current, stored, text_of


def test_the_contract_is_as_stored() -> None:
    """Fails for a change of the documents that is not recorded. Recording one that breaks clients
    needs a new major version of `CONTRACT_VERSION`."""
    new, old = current(), stored()
    assert [str(change) for change in compare(old, new)] == [], RENEW
    assert new == old, RENEW
    assert SNAPSHOT.read_text() == text_of(new) + "\n", RENEW


def test_the_changelog_tells_the_version() -> None:
    """Fails for a `CONTRACT_VERSION` without a line in the changelog."""
    assert re.search(rf"\bcontract {re.escape(CONTRACT_VERSION)}\b", CHANGELOG.read_text(), re.I)

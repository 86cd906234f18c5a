"""`python -m tests.contract` renews the stored documents of the contract, if that is allowed."""

import sys

from tests.contract.compatibility import compare
from tests.contract.snapshot import CHANGELOG, SNAPSHOT, complaints, current, stored, text_of


def main() -> int:
    new = current()
    old = stored() if SNAPSHOT.exists() else new
    for change in compare(old, new):
        print(change)
    if found := complaints(old, new, CHANGELOG.read_text()):
        print(*found, sep="\n", file=sys.stderr)
        return 1
    SNAPSHOT.write_text(text_of(new) + "\n")
    return 0


sys.exit(main())

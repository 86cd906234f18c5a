"""`python -m tests.soak --seconds 300 --clients 200`: the long soak, and its counts."""

import argparse
import os
import sys

import pytest


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", default=300, type=int)
    parser.add_argument("--clients", default=200, type=int)
    parser.add_argument("--hurried", action="store_true", help="see `kill_in_turn`")
    options = parser.parse_args()
    os.environ["SOAK_SECONDS"], os.environ["SOAK_CLIENTS"] = (
        str(options.seconds), str(options.clients),
    )  # fmt: skip
    if options.hurried:
        os.environ["SOAK_HURRIED"] = "1"
    limit = f"--timeout={options.seconds + 600}"
    return int(pytest.main(["-q", "-s", limit, "tests/test_soak.py"]))


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.soak --seconds 300 --clients 200`: the long soak, and its counts."""

import argparse
import os
import sys

import pytest


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", default=300, type=int)
    parser.add_argument("--clients", default=200, type=int)
    options = parser.parse_args()
    os.environ["SOAK_SECONDS"], os.environ["SOAK_CLIENTS"] = (
        str(options.seconds), str(options.clients),
    )  # fmt: skip
    limit = f"--timeout={options.seconds + 600}"
    return int(pytest.main(["-q", "-s", limit, "tests/test_soak.py"]))


if __name__ == "__main__":
    sys.exit(main())

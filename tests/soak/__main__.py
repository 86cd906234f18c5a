"""`python -m tests.soak --seconds 300 --clients 200`: the long soak test with its counts."""

import argparse
import os
import sys

import pytest


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", default=300, type=int)
    parser.add_argument("--clients", default=200, type=int)
    options = parser.parse_args()
    for name in ("seconds", "clients"):
        os.environ[f"SOAK_{name.upper()}"] = str(getattr(options, name))
    limit = options.seconds + 600
    limits = [f"--timeout={limit}", "-o", f"faulthandler_timeout={limit}"]
    return int(pytest.main(["-q", "-s", *limits, "tests/soak/test_soak.py"]))


if __name__ == "__main__":
    sys.exit(main())

"""One log line for one event, for any input of a client."""

import subprocess
import sys

PROGRAM = """
import logging
import structlog
from server.log_setup import configure

configure("INFO")
sent = "a\\n2026-01-01T00:00:00Z [error] forged \\x1b[31m"
structlog.get_logger().warning("malformed body", path=sent)
logging.getLogger("library").warning("cannot read %s", sent)
logging.getLogger("library").info("of no interest")
"""


def test_nobody_forges_a_line_of_the_log() -> None:
    """Guard: `_OneLine` for libraries; structlog quotes values by itself."""
    words = (sys.executable, "-c", PROGRAM)
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stderr
    ours, librarys = shown.splitlines()
    for line, level in ((ours, "[warning"), (librarys, "[WARNING")):
        at, _, rest = line.partition(" ")
        assert at[:2] == "20" and at[10] == "T" and at.endswith("Z")
        assert rest.startswith(level)
        assert "\\n2026" in line and "\x1b" not in line

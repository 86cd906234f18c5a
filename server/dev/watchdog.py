"""Becomes the given command, after forking a watcher that ends it when the starter is gone.

The starter holds the other end of stdin and never writes. However it ends, the kernel closes that
end, and the watcher sees end-of-file. Run by path as `python -I -S watchdog.py COMMAND...`: without
site-packages it costs about ten milliseconds, and the process id stays the one of the command.
"""

import os
import signal
import sys
import time

PATIENCE = ((signal.SIGTERM, 6.0), (signal.SIGKILL, 5.0))  # seconds given after each signal


def main(command: list[str]) -> None:
    """Replace this process by `command`, with an empty stdin and a watcher beside it."""
    server = os.getpid()
    if os.fork() == 0:
        watch(server)
        os._exit(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        os.execvp(command[0], command)
    except OSError as failed:
        sys.exit(f"{command[0]}: {failed.strerror}")


def watch(server: int) -> None:
    """Wait for end-of-file, then end `server`, gently first."""
    # What is open beyond stdio is the server's, such as the lock that says its data is in use.
    os.closerange(3, 1024)
    while os.read(0, 64):
        pass
    for sign, seconds in PATIENCE:
        deadline = time.monotonic() + seconds
        # While it is our parent the id cannot have passed to another process.
        if os.getppid() == server:
            os.kill(server, sign)
        while os.getppid() == server and time.monotonic() < deadline:
            time.sleep(0.02)


if __name__ == "__main__":
    main(sys.argv[1:])

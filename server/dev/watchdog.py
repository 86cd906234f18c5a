"""Runs a command in place of itself, with a watcher that ends it when the starting process ends.

The starter holds the other end of stdin and never writes. However it ends, the kernel closes that
end, and the watcher reads end-of-file. Run by path as `python -I -S watchdog.py COMMAND...`: it
starts in 10 ms without site-packages, and the command keeps the process id.
"""

import os
import signal
import sys
import time

SIGNALS = ((signal.SIGTERM, 6.0), (signal.SIGKILL, 5.0))  # with the seconds to wait after each


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
    """Wait for end-of-file, then end `server`, first with SIGTERM."""
    # Other descriptors belong to the server, such as the lock of its data folder.
    os.closerange(3, 1024)
    while os.read(0, 64):
        pass
    for sign, seconds in SIGNALS:
        deadline = time.monotonic() + seconds
        # As long as it is the parent, its id cannot belong to another process.
        if os.getppid() == server:
            os.kill(server, sign)
        while os.getppid() == server and time.monotonic() < deadline:
            time.sleep(0.02)


if __name__ == "__main__":
    main(sys.argv[1:])

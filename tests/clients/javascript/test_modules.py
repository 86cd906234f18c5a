"""Modules of the JavaScript client alone, in moments that a server cannot bring about."""

from pathlib import Path

from tests.clients.javascript.test_package import run

PROGRAM = Path(__file__).with_name("modules.mjs")


async def test_cases_of_single_modules() -> None:
    """The output ends with the name of the case that fails.

    Commands. Guard: `#last` in commands.js keeps no answers, `stop` refuses each command for itself
    (one under way was sent although the client was closed before it was answered), and `within`.

    Pushes. Guard: `#first` in feed.js, `#early` and `retry` in conversations.js. The first answer
    counts early ones already, and they may come in any order.

    Listeners. Guard: `#next` in jobsphere.js, and `report` in listeners.js: Node ends a program
    with a rejection or an error that is not handled.

    Sessions. Guard: `#logout` in jobsphere.js, `#has`, `#tell` in session.js, `#mayGoOn` in
    commands.js. What is late concerns the session that it was about, not the one of the next user.
    """
    await run("node", "--expose-gc", str(PROGRAM))

"""Modules of the JavaScript client alone, in moments that a server cannot bring about."""

from pathlib import Path

import pytest

from tests.clients.javascript.test_package import run

PROGRAM = Path(__file__).with_name("modules.mjs")


async def play(case: str) -> None:
    await run("node", "--expose-gc", str(PROGRAM), case)


@pytest.mark.parametrize(
    "case",
    [
        "answers_are_not_kept",
        "each_command_says_whether_it_was_sent",
        "patience_holds_over_http",
    ],
)
async def test_commands(case: str) -> None:
    """Guard: `#last` in commands.js keeps no answers, `stop` refuses each command for itself (one
    under way was sent although the client was closed before it was answered), and `within`."""
    await play(case)


@pytest.mark.parametrize(
    "case",
    [
        "pushes_before_the_first_answer_are_delivered",
        "messages_before_the_first_list_are_delivered",
        "what_could_not_be_read_is_asked_for_again",
        "administrators_have_no_conversations",
    ],
)
async def test_pushes(case: str) -> None:
    """Guard: `#first` in feed.js, `#early` and `retry` in conversations.js. The first answer counts
    early ones already, and they may come in any order."""
    await play(case)


@pytest.mark.parametrize(
    "case", ["waiting_for_a_push_ends_with_the_client", "a_listener_that_throws_disturbs_nothing"]
)
async def test_listeners(case: str) -> None:
    """Guard: `#next` in jobsphere.js, and `report` in listeners.js: Node ends a program
    with a rejection or an error that is not handled."""
    await play(case)


@pytest.mark.parametrize(
    "case",
    [
        "a_discarded_tab_that_comes_back_asks_the_others",
        "signing_out_does_not_wait_for_a_renewal",
        "a_command_does_not_go_out_for_the_next_user",
        "a_late_refusal_does_not_end_the_next_session",
        "a_late_end_leaves_the_next_session_in_the_storage",
    ],
)
async def test_sessions(case: str) -> None:
    """Guard: `#logout` in jobsphere.js, `#has`, `#tell` in session.js, `#mayGoOn` in commands.js.
    What is late concerns the session that it was about, not the one of the next user."""
    await play(case)

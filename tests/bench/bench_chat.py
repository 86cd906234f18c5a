"""The benchmark of group commit in chat; `make bench` prints its table."""

from tests.bench.busy_chats import compare, ratio, table


async def test_messages_written_together(server, capsys):
    """Guard: `Writer._take_batch` takes everything that waits, and `group_commit.write_batch`
    writes it at once."""
    rounds = await compare(server.web)
    with capsys.disabled():
        print(f"\n{table(rounds)}")
    assert ratio(rounds) > 1

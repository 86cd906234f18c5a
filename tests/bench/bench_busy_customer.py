"""The benchmark of one busy customer on a real web process; `make bench` prints its table."""

from tests.bench.busy_customer import compare, table


async def test_one_busy_customer_is_no_bottleneck(processes, capsys):
    """Guard: events are numbered by the relay, not in the transaction (`UnitOfWork.publish`)."""
    await processes.web()
    one, many = await compare(processes.market)
    with capsys.disabled():
        print(f"\n{table(one, many)}")
    assert len(one) == len(many)

"""The benchmark of job search; `make bench` prints its lines. See `job_search.py`."""

from tests.bench.job_search import measure

JOBS = 20_000


async def test_search_of_many_jobs(tmp_path, capsys):
    """Guard: `Reading` reads the ids of a page only; filters add no score."""
    lines = list(await measure(JOBS, tmp_path))
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    assert len(lines) == 14

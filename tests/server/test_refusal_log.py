"""What is logged about refusals, and how much of it."""

from structlog.testing import capture_logs

from domain.kernel.errors import Code
from server.refusal_log import LINES, WINDOW_SECONDS, RefusalLog
from tests.conftest import both_paths

ADDRESS = "203.0.113.77"


def noted(lines):
    return [
        (line["code"], line["operation"], line.get("user"))
        for line in lines
        if line["event"] == "refused"
    ]


@both_paths
async def test_refusals_that_may_be_an_attack_are_logged(market):
    """Guard: `Web._note`, `HttpApi._turn_away` and `Realtime._refuse_connect`."""
    customer = await market.customer()
    contractor = await market.contractor()
    job = await market.job(customer)
    stranger = market.anonymous_client()
    proof = {"email": customer.user.email, "password": "not the right password"}
    with capture_logs() as lines:
        assert (await stranger.http("POST", "/api/account/login", proof))[0] == 401
        assert (await stranger.http("GET", "/api/account/me"))[0] == 401
        await contractor.ack("/job", "cancel", {"job_id": job["id"]})
        await contractor.ack("/job", "get", {"job_id": "job_of_nobody"})
    assert noted(lines) == [
        ("wrong_credentials", "account.login", None),
        ("unauthenticated", "account.me", None),
        ("forbidden", "job.cancel", contractor.id),
        ("not_found", "job.get", contractor.id),
    ]
    assert customer.user.email not in str(lines)


def test_a_flood_of_refusals_does_not_fill_the_log():
    """Guard: `RefusalLog.note`: each code has its own lines, and what is left out is counted."""
    now = 0.0
    refusals = RefusalLog(lambda: now)
    with capture_logs() as lines:
        for _ in range(LINES + 7):
            refusals.note(Code.RATE_LIMITED, "job.list", "usr_1", ADDRESS)
        refusals.note(Code.FORBIDDEN, "job.list", "usr_1", ADDRESS)
        assert len(lines) == LINES + 1
        now += WINDOW_SECONDS
        refusals.note(Code.RATE_LIMITED, "job.list", "usr_1", ADDRESS)
        refusals.note(Code.RATE_LIMITED, "job.list", "usr_1", ADDRESS)
    *_, first, second = lines
    assert first["left_out"] == 7
    assert "left_out" not in second
    assert ADDRESS not in str(lines)


def test_ordinary_answers_are_not_logged():
    """Guard: `LOGGED`."""
    with capture_logs() as lines:
        RefusalLog().note(Code.TOKEN_EXPIRED, "account.me", "usr_1", ADDRESS)
        RefusalLog().note(Code.JOB_TAKEN, "bidding.accept", "usr_1", ADDRESS)
    assert lines == []

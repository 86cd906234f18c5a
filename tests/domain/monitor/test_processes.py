"""Administrators see the processes of the deployment and how they are."""

from domain.kernel import process_registry
from tests.conftest import Server
from tests.support.market import Market


async def test_a_process_tells_of_its_load_and_health(
    server: Server, market: Market, negotiation
) -> None:
    """Guard: `processes.processes`, `figures.Figures` and the counts in `container._push`,
    `app.run`, `MessageWriter._push_loop` and `Connections.request_async`."""
    admin = await market.admin()
    await negotiation.pending_offer()
    chat = await negotiation.customer.call(
        "/chat", "open", {"job_id": negotiation.job["id"], "user_id": negotiation.contractor.id}
    )
    message = {"conversation_id": chat["id"], "text": "How are you?"}
    await negotiation.customer.call("/chat", "send", message)
    await server.web.readiness.report()
    await process_registry.send_heartbeat(server.store, server.web.process_figures())
    [process] = await admin.call("/admin", "processes")
    figures, counts = process["figures"], process["figures"]["counts"]
    assert (process["state"], process["ended_at"]) == ("running", None)
    assert (figures["kind"], figures["ready"], figures["reasons"]) == ("web", True, {})
    assert figures["sockets"] >= 3 and figures["memory"] > 10_000_000 and figures["pid"] > 1
    assert counts["commands"] >= 3 and counts["messages"] >= 1 and counts["deliveries"] > 2
    assert counts["stripe_calls"] and not counts["stripe_errors"] and figures["stripe_p95"]
    assert await market.trail(operation="admin.processes") == []


async def test_a_process_that_ends_stays_listed(server: Server, market: Market) -> None:
    """Guard: `end_heartbeat` and `processes.health_of`."""
    admin = await market.admin()
    store, now = server.store, server.store.clock.now()
    for id, ended_at, lost in (("worker_a", now, False), ("worker_b", None, False)):
        row = store.single().new(
            process_registry.ProcessHeartbeat,
            id=id,
            alive_until=now - process_registry.HEARTBEAT_TTL,
            sessions=(),
            ended_at=ended_at,
            lost=lost,
        )
        await store.single().add(row)
    shown = (await admin.http("GET", "/api/admin/processes"))[1]
    states = {process["id"]: process["state"] for process in shown}
    assert states.pop("worker_a") == "ended" and states.pop("worker_b") == "lost"
    assert list(states.values()) == ["running"]

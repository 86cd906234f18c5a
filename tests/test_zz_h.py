import pytest, asyncio, time
from tests.parties import Refused
async def test_a(market, server):
    t=time.time()
    c = await market.customer(); k = await market.contractor(); a = await market.admin()
    print("join", time.time()-t); t=time.time()
    me = await c.call("/account","me"); assert me["id"]==c.id
    await c.call("/account","update",{"name":"X"}, request_id="q1")
    assert (await c.push("/account","account.updated", lambda d: d["name"]=="X"))["id"]==c.id
    b = await market.traces(); print("traces", time.time()-t); t=time.time()
    with pytest.raises(Refused) as e: await c.call("/account","update",{"name":""}, request_id="q2")
    assert e.value.code=="invalid"
    assert await market.traces()==b
    print(b)
    assert (await c.http("GET","/api/account/me"))[1]["id"]==c.id
    assert (await market.stranger().http("GET","/api/account/me"))[0]==401
    await market.sessions.end(c.id, "ses_x")
    await c.call("/account","logout"); await c.gone()
    with pytest.raises(Refused) as e: await c.connect()
    print(e.value)
async def test_b(market, server):
    c = await market.customer()
async def test_link(market, server):
    c = await market.contractor()
    print(await c.call("/account","onboard"))
    print(await market.sandbox.pending(), await market.sandbox.calls())

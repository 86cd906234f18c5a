import time, asyncio
from collections import defaultdict, Counter
import tests.books as books
import tests.test_books as tb
from pymongo import monitoring
T=defaultdict(float)
N=Counter(); D=defaultdict(float); OPEN={}
class L(monitoring.CommandListener):
    def started(self, e):
        c=e.command; coll=c.get(e.command_name); OPEN[e.request_id]=f"{e.command_name} {coll if isinstance(coll,str) else ''} {list(c.get('filter',c.get('query',{})) or {})}"
    def succeeded(self, e):
        k=OPEN.pop(e.request_id,"?"); N[k]+=1; D[k]+=e.duration_micros/1e6
    def failed(self, e):
        k="FAIL "+OPEN.pop(e.request_id,"?"); N[k]+=1; D[k]+=e.duration_micros/1e6
monitoring.register(L())
def timed(cls,name):
    f=getattr(cls,name)
    async def g(self,*a):
        t=time.perf_counter()
        try: return await f(self,*a)
        finally: T[cls.__name__+"."+name]+=time.perf_counter()-t
    setattr(cls,name,g)
for c,n in [(books.World,"begin"),(books.World,"settled"),(books.Proof,"check"),(books.Proof,"_stripe"),(books.Proof,"_expect"),(books.World,"play"),(books.Deal,"play"),(books.Proof,"_our_wallets"),(books.Proof,"_our_journal"),(books.Deal,"calm")]: timed(c,n)
import pytest
@pytest.mark.timeout(600)
async def test_p(market, server):
    tb.EXAMPLES=40
    t=time.perf_counter(); c=time.process_time()
    try: await tb.test_any_sequence_leaves_books_that_agree(market, server)
    except AssertionError as e: print(str(e)[:300])
    print("total", time.perf_counter()-t, "cpu", time.process_time()-c)
    for k,v in sorted(T.items(), key=lambda x:-x[1]): print(f"{k:30s} {v:.2f}")
    print(sum(N.values()))
    for n,v in sorted(D.items(), key=lambda x:-x[1])[:28]: print(f"{v:.3f} {N[n]:5d} {v/N[n]*1000:.2f}ms {n}")
    print(Counter(x.split("/")[2] for x in await server.sandbox.calls()))

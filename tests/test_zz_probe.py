import time, asyncio, os
from collections import Counter, defaultdict
import tests.books as books
import tests.test_books as tb
import pytest
from pymongo import monitoring
N=Counter(); D=defaultdict(float); OPEN={}
class L(monitoring.CommandListener):
    def started(self, e):
        c=e.command; coll=c.get(e.command_name); OPEN[e.request_id]=f"{e.command_name} {coll if isinstance(coll,str) else ''} {list(c.get('filter',c.get('query',{})) or {})}"
    def succeeded(self, e):
        k=OPEN.pop(e.request_id,"?"); N[k]+=1; D[k]+=e.duration_micros/1e6
    def failed(self, e):
        k="FAIL "+OPEN.pop(e.request_id,"?"); N[k]+=1; D[k]+=e.duration_micros/1e6
monitoring.register(L())
def kids():
    out={}
    for p in os.listdir("/proc"):
        if p.isdigit():
            try:
                f=open(f"/proc/{p}/stat").read().rsplit(")",1)[1].split()
                cmd=open(f"/proc/{p}/cmdline").read().replace("\0"," ")
            except OSError: continue
            out[int(p)]=(int(f[1]),int(f[11])+int(f[12]),cmd)
    me=os.getpid(); res={}
    tree={me}
    for _ in range(4): tree|={p for p,v in out.items() if v[0] in tree}
    for p in tree: res[out[p][2][:60] if p!=me else "SELF"]=res.get(out[p][2][:60] if p!=me else "SELF",0)+out[p][1]/100
    return res
@pytest.mark.timeout(600)
async def test_p(market, server):
    tb.EXAMPLES=300
    n=0; t=time.perf_counter(); last=kids()
    orig=books.World.play
    async def play(self, deals):
        nonlocal n,t,last
        r=await orig(self,deals); n+=1
        if n%20==0:
            k=kids(); print(n, round(time.perf_counter()-t,1), {a[-45:]:round(v-last.get(a,0),1) for a,v in k.items() if v-last.get(a,0)>.2}, len(asyncio.all_tasks())); t=time.perf_counter(); last=k
        return r
    books.World.play=play
    try: await tb.test_any_sequence_leaves_books_that_agree(market, server)
    except AssertionError as e: print(str(e)[:300])
    print(sum(N.values()))
    for k,v in sorted(N.items(), key=lambda x:-x[1])[:40]: print(f"{v:5d} {D[k]/v*1000:.1f}ms {k}")

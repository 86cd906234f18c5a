"""The audit command on 1,000, 3,000 and 10,000 offers of all kinds, without differences.

Time grows linearly with the offers, memory hardly: an audit keeps only open objects.
"""

import asyncio
import base64
import os
import re
import sys
import time

import pytest

from domain.kernel.money import Schedule
from domain.kernel.settings import Rates
from domain.kernel.store import Store
from server.adapters.field_cipher import field_codec
from server.adapters.hmac_seal import HmacSeal
from server.adapters.system_clock import SystemClock
from server.config import load
from server.dev.stores import ROOT
from tests.bench.seeded import Figures, Seeder
from tests.support.sandbox_client import Sandbox

SIZES = tuple(int(n) for n in os.environ.get("AUDIT_SIZES", "1000,3000,10000").split(","))
MAX_RATIO = 1.5


async def audited(env: dict[str, str], offers: int) -> Figures:
    """Run the audit command. The kernel reports its peak memory."""
    began = time.monotonic()
    command = (
        "import resource; from server.cli.main import main\ntry: main()\nfinally: print('MAXRSS', "
        "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        command,
        "audit",
        cwd=ROOT,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    seconds = time.monotonic() - began
    memory = re.search(r"MAXRSS (\d+)", output)
    assert memory, output
    assert process.returncode == 0, output
    print(f"\n{offers} offers\n{output}")
    return Figures(offers, seconds, int(memory[1]) / 1024)


def table(found: list[Figures]) -> str:
    lines = [f"{'offers':>7}{'seconds':>9}{'ms/offer':>10}{'MiB':>6}"]
    for each in found:
        figures = f"{each.offers:>7}{each.seconds:>9.1f}{each.per_offer:>10.2f}{each.memory:>6.0f}"
        lines.append(figures)
    return "\n".join(lines)


@pytest.mark.timeout(1800)
async def test_audit_grows_with_the_offers(stores, capsys):
    suffix = os.urandom(12).hex()
    sandbox = Sandbox(str(stores.stripe_api_base), f"sk_test_{suffix}", stores.control_key)
    mongo_url = stores.database(f"bench_{suffix[:12]}")
    key = base64.b64encode(os.urandom(32)).decode()
    env = {
        "PATH": os.environ["PATH"],
        "MONGO_URL": mongo_url,
        "REDIS_URL": str(stores.redis_url),
        "STRIPE_SECRET_KEY": sandbox.key,
        "STRIPE_API_BASE": str(stores.stripe_api_base),
        "STRIPE_WEBHOOK_SECRETS": "whsec_none",
        "JWT_KEYS": f"bench:{key}",
        "AUDIT_KEY": f"bench:{key}",
        "FIELD_KEYS": f"bench:{key}",
    }
    settings = load(env)
    rates = Rates(Schedule(1000, 2000), ("USD",))
    store = Store(mongo_url, SystemClock(), rates, field_codec(settings))
    seeder = Seeder(store, sandbox, HmacSeal(settings.audit_keys))
    await seeder.prepare()
    found = []
    for size in SIZES:
        await seeder.grow(size)
        found.append(await audited(env, size))
    await sandbox.close()
    store.close()
    ratio = found[-1].per_offer / found[0].per_offer
    with capsys.disabled():
        print(f"\n{table(found)}\ntime per offer, most against fewest: {ratio:.2f}")
    assert ratio <= MAX_RATIO

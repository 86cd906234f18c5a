"""`python -m server audit` on 1,000, 3,000 and 10,000 offers: time and memory grow with them."""

import asyncio
import base64
import os
import re
import sys
import time

import pytest

from domain.money import Schedule
from domain.ports import Rates
from domain.store import Store
from server.clock import SystemClock
from server.embedded.stores import ROOT
from tests.bench.seeded import Figures, Seeder
from tests.sandbox_client import Sandbox

SIZES = tuple(int(n) for n in os.environ.get("AUDIT_SIZES", "1000,3000,10000").split(","))


async def audited(env: dict[str, str], offers: int) -> Figures:
    """Run it as its user does; the kernel says how much memory it had at most."""
    begun = time.monotonic()
    command = "import resource, server.cli as cli\ntry: cli.main()\nfinally: print('MAXRSS', " \
        "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", command, "audit", cwd=ROOT, env=env,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output = (await process.communicate())[0].decode()
    seconds = time.monotonic() - begun
    memory = re.search(r"MAXRSS (\d+)", output)
    assert memory, output
    assert process.returncode == 0, output
    return Figures(offers, seconds, int(memory[1]) / 1024, process.returncode)


@pytest.mark.timeout(1800)
async def test_audit_grows_with_the_offers(stores):
    suffix = os.urandom(12).hex()
    sandbox = Sandbox(str(stores.stripe_api_base), f"sk_test_{suffix}")
    mongo_url = f"{str(stores.mongo_url).rsplit('/', 1)[0]}/bench_{suffix[:12]}"
    key = base64.b64encode(os.urandom(32)).decode()
    env = {
        "PATH": os.environ["PATH"], "MONGO_URL": mongo_url, "REDIS_URL": str(stores.redis_url),
        "STRIPE_SECRET_KEY": sandbox.key, "STRIPE_API_BASE": str(stores.stripe_api_base),
        "STRIPE_WEBHOOK_SECRETS": "whsec_none", "JWT_KEYS": f"bench:{key}",
        "AUDIT_KEY": f"bench:{key}",
    }  # fmt: skip
    store = Store(mongo_url, SystemClock(), Rates(Schedule(1000, 2000), ("USD",)))
    seeder = Seeder(store, sandbox)
    await seeder.prepare()
    found = []
    for size in SIZES:
        await seeder.grow(size)
        found.append(await audited(env, size))
    await sandbox.close()
    store.close()
    print("\noffers  seconds  ms/offer  MiB")
    for each in found:
        per_offer = each.seconds / each.offers * 1000
        print(f"{each.offers:>6} {each.seconds:>8.1f} {per_offer:>9.2f} {each.memory:>5.0f}")

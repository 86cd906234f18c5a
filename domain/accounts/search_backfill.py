"""Sets `search_keys` of the users who were stored before it existed."""

from domain.accounts.search_keys import search_keys
from domain.accounts.user import User
from domain.ports.ports import Ports

BATCH = 200
NEWEST = (("_id", -1),)


async def fill_search_keys(ports: Ports) -> int:
    """Returns how many users it has changed. Users who change at the same moment have their keys
    from that change. Damaged ones are reported and left as they are."""
    uow, total = ports.store.single(), 0
    while True:
        missing = {"search_keys_digest": None}
        changes = []
        async for user in uow.readable(User, uow.documents(User, missing, NEWEST, BATCH)):
            keys = {"search_keys": list(search_keys(user.name, user.email))}
            same = {"_id": user.id, "version": user.version}
            changes.append((same, ports.store.codec.seal(User, user.id, keys)))
        changed = await uow.set_stored(User, changes)
        total += changed
        if not changed:
            return total

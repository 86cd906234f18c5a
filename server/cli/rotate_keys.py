"""`server rotate-keys`: encrypts stored fields again under the current key, with a progress bar."""

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from domain.kernel import key_rotation
from domain.registry import RECORDS
from server.config import Settings
from server.container import Container


async def run(settings: Settings) -> int:
    """Returns how many records were changed. Raises UndecipherableField when a key is missing."""
    container, changed, kid = Container(settings), 0, settings.field_keys[0].kid
    kinds = {kind.COLLECTION: kind for kind in RECORDS if kind.ENCRYPTED or kind.ENCRYPTED_MESSAGES}
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    try:
        await container.store.ping()
        with Progress(*columns, console=Console(stderr=True)) as progress:
            for name, kind in kinds.items():
                total = await key_rotation.remaining(container.store, kind, kid)
                bar = progress.add_task(name, total=total)
                async for count in key_rotation.rotate(container.store, kind, kid):
                    changed += count
                    progress.advance(bar, key_rotation.BATCH)
                progress.update(bar, completed=total)
    finally:
        await container.close()
    return changed

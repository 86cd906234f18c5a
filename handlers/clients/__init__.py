"""The parts of the clients that are made from the documents: commands, pushes and their types.

Everything else in `static/client/` is written by hand.
"""

from handlers.clients import typescript
from handlers.clients.contract import Json, contract_of


def made_files(openapi: Json, asyncapi: Json) -> dict[str, str]:
    """The paths below `static/client/` and their contents."""
    return typescript.files(contract_of(openapi, asyncapi))

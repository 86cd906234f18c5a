"""The parts of the clients that are made from the documents: commands, pushes and their types.

Everything else in `static/client/` is written by hand.
"""

from handlers.clients import python_types, typescript
from handlers.clients.contract import Json, contract_of


def made_files(openapi: Json, asyncapi: Json) -> dict[str, str]:
    """The paths below `static/client/` and their contents."""
    contract = contract_of(openapi, asyncapi)
    return typescript.files(contract) | python_types.files(contract)

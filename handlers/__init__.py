"""How clients reach the domain: one file per namespace, and the one list of all of them."""

from handlers.account import account

NAMESPACES = (account,)

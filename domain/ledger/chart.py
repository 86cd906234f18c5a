"""The chart of accounts: their names and owners, and which of them have a bound."""

PLATFORM, STRIPE_FEES, LOSSES = "platform", "stripe_fees", "losses"
STRIPE, BANK = "world:stripe", "world:bank"
EXCHANGE = "exchange"  # what Stripe converted: out of one currency, into another
UNBOUNDED = frozenset({PLATFORM, STRIPE_FEES, LOSSES, STRIPE, BANK, EXCHANGE})
SNAPSHOT_ACCOUNTS = (PLATFORM, STRIPE_FEES)  # unbounded accounts whose balances are read


def escrow(offer_id: str) -> str:
    return f"escrow:{offer_id}"


def pending(user_id: str) -> str:
    return f"wallet:{user_id}:pending"


def available(user_id: str) -> str:
    return f"wallet:{user_id}:available"


def held(user_id: str) -> str:
    """Money of a contractor that an undecided chargeback blocks."""
    return f"wallet:{user_id}:held"


def stranded(user_id: str) -> str:
    """Money of a contractor on an account at Stripe that is closed or rejected."""
    return f"wallet:{user_id}:stranded"


def debt(user_id: str) -> str:
    return f"debt:{user_id}"


def chargeback(id: str) -> str:
    return f"chargeback:{id}"


def returned(offer_id: str) -> str:
    """Money of refunds that the customer's bank returned and that wait for a decision."""
    return f"returned:{offer_id}"


def in_transit(user_id: str) -> str:
    return f"wallet:{user_id}:in_transit"


def is_bounded(account: str) -> bool:
    return account not in UNBOUNDED and kind_of(account) not in ("chargeback", "returned")


def kind_of(account: str) -> str:
    return account.partition(":")[0]


def owner_of(account: str) -> str:
    return account.split(":")[1]

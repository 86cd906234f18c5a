"""Every endpoint of Stripe's API that the sandbox answers, in one list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from server.dev.stripe_sandbox import (
    balances,
    charges,
    connect,
    customers,
    disputes,
    payments,
    payouts,
    refunds,
    setups,
    transfers,
    webhooks,
)

from .errors import Json, StripeError
from .forms import EXPAND, PAGE, Spec

Handler = Callable[..., Json]


@dataclass(frozen=True)
class Route:
    """A method and a path template; each `*` is an id that the handler gets."""

    method: str
    template: str
    handler: Handler
    spec: Spec = field(default_factory=lambda: EXPAND)
    public: bool = False

    @property
    def steps(self) -> list[str]:
        """The template's path segments."""
        return self.template.split("/")


NONE: Spec = {}
ROUTES = [
    Route("POST", "customers", customers.create_customer, customers.CUSTOMER),
    Route("GET", "customers", customers.list_customers, customers.CUSTOMERS),
    Route("GET", "customers/*", customers.retrieve_customer),
    Route("POST", "customers/*", customers.update_customer, customers.CUSTOMER),
    Route("DELETE", "customers/*", customers.delete_customer, NONE),
    Route("GET", "customers/*/payment_methods", customers.methods_of, customers.METHODS),
    Route("POST", "payment_methods", customers.create_method, customers.CREATE_METHOD, public=True),
    Route("GET", "payment_methods", customers.list_methods, customers.METHODS),
    Route("GET", "payment_methods/*", customers.retrieve_method),
    Route("POST", "payment_methods/*/attach", customers.attach, customers.ATTACH),
    Route("POST", "payment_methods/*/detach", customers.detach),
    Route("POST", "payment_intents", payments.create, payments.CREATE),
    Route("GET", "payment_intents", payments.list_intents, payments.LIST),
    Route("GET", "payment_intents/*", payments.retrieve, payments.RETRIEVE, public=True),
    Route("POST", "payment_intents/*", payments.update, payments.UPDATE),
    Route("POST", "payment_intents/*/confirm", payments.confirm, payments.CONFIRM, public=True),
    Route("POST", "payment_intents/*/capture", payments.capture, payments.CAPTURE),
    Route("POST", "payment_intents/*/cancel", payments.cancel, payments.CANCEL),
    Route("POST", "setup_intents", setups.create, setups.CREATE),
    Route("GET", "setup_intents", setups.list_setups, setups.LIST),
    Route("GET", "setup_intents/*", setups.retrieve, setups.RETRIEVE, public=True),
    Route("POST", "setup_intents/*/confirm", setups.confirm, setups.CONFIRM, public=True),
    Route("POST", "setup_intents/*/cancel", setups.cancel, setups.CANCEL),
    Route("GET", "charges", charges.list_charges, charges.LIST),
    Route("GET", "charges/*", charges.retrieve),
    Route("POST", "refunds", refunds.create, refunds.CREATE),
    Route("GET", "refunds", refunds.list_refunds, refunds.LIST),
    Route("GET", "refunds/*", refunds.retrieve),
    Route("POST", "refunds/*", refunds.update, refunds.UPDATE),
    Route("GET", "disputes", disputes.list_disputes, disputes.LIST),
    Route("GET", "disputes/*", disputes.retrieve),
    Route("POST", "disputes/*", disputes.update, disputes.UPDATE),
    Route("POST", "disputes/*/close", disputes.close),
    Route("GET", "account", connect.retrieve_own),
    Route("POST", "accounts", connect.create, connect.CREATE),
    Route("GET", "accounts", connect.list_accounts, PAGE),
    Route("GET", "accounts/*", connect.retrieve),
    Route("POST", "accounts/*", connect.update, connect.UPDATE),
    Route("DELETE", "accounts/*", connect.delete, NONE),
    Route("POST", "accounts/*/reject", connect.reject, connect.REJECT),
    Route("GET", "accounts/*/capabilities", connect.list_capabilities),
    Route("GET", "accounts/*/capabilities/*", connect.capability),
    Route("POST", "accounts/*/capabilities/*", connect.update_capability, connect.CAPABILITY),
    Route("POST", "accounts/*/login_links", connect.create_login),
    Route("POST", "account_links", connect.create_link, connect.LINK),
    Route("POST", "transfers", transfers.create, transfers.CREATE),
    Route("GET", "transfers", transfers.list_transfers, transfers.LIST),
    Route("GET", "transfers/*", transfers.retrieve),
    Route("POST", "transfers/*", transfers.update, transfers.UPDATE),
    Route("POST", "transfers/*/reversals", transfers.reverse, transfers.REVERSE),
    Route("GET", "transfers/*/reversals", transfers.list_reversals, PAGE),
    Route("GET", "transfers/*/reversals/*", transfers.retrieve_reversal),
    Route("POST", "payouts", payouts.create, payouts.CREATE),
    Route("GET", "payouts", payouts.list_payouts, payouts.LIST),
    Route("GET", "payouts/*", payouts.retrieve),
    Route("POST", "payouts/*", payouts.update, payouts.UPDATE),
    Route("POST", "payouts/*/cancel", payouts.cancel),
    Route("GET", "balance", balances.retrieve_balance),
    Route("GET", "balance_transactions", balances.list_entries, balances.LIST),
    Route("GET", "balance_transactions/*", balances.retrieve_entry),
    Route("GET", "events", webhooks.list_events, webhooks.EVENTS),
    Route("GET", "events/*", webhooks.retrieve_event),
    Route("POST", "webhook_endpoints", webhooks.create, webhooks.CREATE),
    Route("GET", "webhook_endpoints", webhooks.list_endpoints, PAGE),
    Route("GET", "webhook_endpoints/*", webhooks.retrieve),
    Route("POST", "webhook_endpoints/*", webhooks.update, webhooks.UPDATE),
    Route("DELETE", "webhook_endpoints/*", webhooks.delete, NONE),
]


def find(method: str, path: str) -> tuple[Route, list[str]]:
    """The route of a request and the ids in its path. Raises 404 as Stripe does."""
    steps = path.removeprefix("/v1/").split("/")
    for route in ROUTES:
        if route.method == method and len(route.steps) == len(steps):
            pairs = list(zip(route.steps, steps, strict=True))
            if all(want in ("*", got) for want, got in pairs):
                return route, [got for want, got in pairs if want == "*"]
    raise StripeError(
        404,
        "invalid_request_error",
        f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can"
        " help at https://support.stripe.com/.",
        stored=False,
    )

"""The list of Stripe's API endpoints that the sandbox answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from server.dev.stripe_sandbox import (
    accounts_v2,
    balances,
    charges,
    connect,
    customers,
    disputes,
    event_destinations,
    events,
    files,
    fraud,
    payment_intents,
    payment_methods,
    payout_reversals,
    payouts,
    refunds,
    setup_intents,
    transfers,
    webhook_endpoints,
)
from server.dev.stripe_sandbox.errors import Json, StripeError
from server.dev.stripe_sandbox.parameters import EXPAND, PAGE, Spec
from server.dev.stripe_sandbox.v2_parameters import Fields

RouteHandler = Callable[..., Json]


@dataclass(frozen=True)
class Route:
    """A method and a path template; each `*` is an id, passed to the handler.

    `public` routes accept the publishable key.
    """

    method: str
    template: str
    handler: RouteHandler
    spec: Spec | Fields = field(default_factory=lambda: EXPAND)
    public: bool = False

    @property
    def steps(self) -> list[str]:
        """The template's path segments."""
        return self.template.split("/")


NO_PARAMETERS: Spec = {}
ROUTES = [
    Route("POST", "customers", customers.create_customer, customers.CUSTOMER),
    Route("GET", "customers", customers.list_customers, customers.CUSTOMERS),
    Route("GET", "customers/*", customers.retrieve_customer),
    Route("POST", "customers/*", customers.update_customer, customers.CUSTOMER),
    Route("DELETE", "customers/*", customers.delete_customer, NO_PARAMETERS),
    Route(
        "GET", "customers/*/payment_methods", customers.list_methods_of_customer, customers.METHODS
    ),
    Route(
        "POST",
        "payment_methods",
        payment_methods.create_method,
        payment_methods.CREATE_METHOD,
        public=True,
    ),
    Route("GET", "payment_methods", customers.list_methods, customers.METHODS),
    Route("GET", "payment_methods/*", payment_methods.retrieve_method),
    Route("POST", "payment_methods/*/attach", customers.attach, customers.ATTACH),
    Route("POST", "payment_methods/*/detach", payment_methods.detach),
    Route("POST", "payment_intents", payment_intents.create, payment_intents.CREATE),
    Route("GET", "payment_intents", payment_intents.list_intents, payment_intents.LIST),
    Route(
        "GET", "payment_intents/*", payment_intents.retrieve, payment_intents.RETRIEVE, public=True
    ),
    Route("POST", "payment_intents/*", payment_intents.update, payment_intents.UPDATE),
    Route(
        "POST",
        "payment_intents/*/confirm",
        payment_intents.confirm,
        payment_intents.CONFIRM,
        public=True,
    ),
    Route("POST", "payment_intents/*/capture", payment_intents.capture, payment_intents.CAPTURE),
    Route("POST", "payment_intents/*/cancel", payment_intents.cancel, payment_intents.CANCEL),
    Route("POST", "setup_intents", setup_intents.create, setup_intents.CREATE),
    Route("GET", "setup_intents", setup_intents.list_setups, setup_intents.LIST),
    Route("GET", "setup_intents/*", setup_intents.retrieve, setup_intents.RETRIEVE, public=True),
    Route(
        "POST", "setup_intents/*/confirm", setup_intents.confirm, setup_intents.CONFIRM, public=True
    ),
    Route("POST", "setup_intents/*/cancel", setup_intents.cancel, setup_intents.CANCEL),
    Route("GET", "charges", charges.list_charges, charges.LIST),
    Route("GET", "charges/*", charges.retrieve),
    Route("POST", "charges/*", charges.update, charges.UPDATE),
    Route("POST", "charges/*/refunds", refunds.create_of_charge, refunds.CREATE_OF_CHARGE),
    Route("GET", "charges/*/refunds", refunds.list_of_charge, PAGE),
    Route("GET", "charges/*/refunds/*", refunds.retrieve_of_charge),
    Route("POST", "charges/*/refunds/*", refunds.update_of_charge, refunds.UPDATE),
    Route("POST", "refunds", refunds.create, refunds.CREATE),
    Route("GET", "refunds", refunds.list_refunds, refunds.LIST),
    Route("GET", "refunds/*", refunds.retrieve),
    Route("POST", "refunds/*", refunds.update, refunds.UPDATE),
    Route("POST", "refunds/*/cancel", refunds.cancel),
    Route("GET", "disputes", disputes.list_disputes, disputes.LIST),
    Route("GET", "disputes/*", disputes.retrieve),
    Route("POST", "disputes/*", disputes.update, disputes.UPDATE),
    Route("POST", "disputes/*/close", disputes.close),
    Route("GET", "radar/early_fraud_warnings", fraud.list_warnings, fraud.WARNINGS),
    Route("GET", "radar/early_fraud_warnings/*", fraud.retrieve_warning),
    Route("GET", "reviews", fraud.list_reviews, PAGE),
    Route("GET", "reviews/*", fraud.retrieve_review),
    Route("POST", "reviews/*/approve", fraud.approve_review),
    Route("POST", "files", files.create, files.CREATE),
    Route("GET", "files", files.list_files, files.LIST),
    Route("GET", "files/*", files.retrieve),
    Route("GET", "account", connect.retrieve_own),
    Route("POST", "accounts", connect.create, connect.CREATE),
    Route("GET", "accounts", connect.list_accounts, PAGE),
    Route("GET", "accounts/*", connect.retrieve),
    Route("POST", "accounts/*", connect.update, connect.UPDATE),
    Route("DELETE", "accounts/*", connect.delete, NO_PARAMETERS),
    Route("POST", "accounts/*/reject", connect.reject, connect.REJECT),
    Route("GET", "accounts/*/capabilities", connect.list_capabilities),
    Route("GET", "accounts/*/capabilities/*", connect.retrieve_capability),
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
    Route("POST", "payouts/*/reverse", payout_reversals.reverse, payout_reversals.REVERSE),
    Route("GET", "balance_settings", connect.balance_settings),
    Route(
        "POST",
        "balance_settings",
        connect.update_balance_settings,
        connect.BALANCE_SETTINGS,
    ),
    Route("GET", "balance", balances.retrieve_balance),
    Route("GET", "balance_transactions", balances.list_entries, balances.LIST),
    Route("GET", "balance_transactions/*", balances.retrieve_entry),
    Route("GET", "events", events.list_events, events.LIST),
    Route("GET", "events/*", events.retrieve_event),
    Route("POST", "webhook_endpoints", webhook_endpoints.create, webhook_endpoints.CREATE),
    Route("GET", "webhook_endpoints", webhook_endpoints.list_endpoints, PAGE),
    Route("GET", "webhook_endpoints/*", webhook_endpoints.retrieve),
    Route("POST", "webhook_endpoints/*", webhook_endpoints.update, webhook_endpoints.UPDATE),
    Route("DELETE", "webhook_endpoints/*", webhook_endpoints.delete, NO_PARAMETERS),
]

V2 = "/v2/"
# Their specs are shapes of JSON; see `v2_parameters`.
ROUTES_V2 = [
    Route("POST", "core/accounts", accounts_v2.create, accounts_v2.CREATE),
    Route("GET", "core/accounts", accounts_v2.list_accounts, accounts_v2.LIST),
    Route("GET", "core/accounts/*", accounts_v2.retrieve, accounts_v2.RETRIEVE),
    Route("POST", "core/accounts/*/close", accounts_v2.close, accounts_v2.CLOSE),
    Route("POST", "core/account_links", accounts_v2.create_link, accounts_v2.LINK),
    Route("POST", "core/event_destinations", event_destinations.create, event_destinations.CREATE),
    Route(
        "GET",
        "core/event_destinations",
        event_destinations.list_destinations,
        event_destinations.LIST,
    ),
    Route(
        "GET",
        "core/event_destinations/*",
        event_destinations.retrieve,
        event_destinations.RETRIEVE,
    ),
    Route(
        "POST", "core/event_destinations/*", event_destinations.update, event_destinations.UPDATE
    ),
    Route(
        "POST",
        "core/event_destinations/*/disable",
        event_destinations.disable,
        NO_PARAMETERS,
    ),
    Route("GET", "core/events/*", event_destinations.retrieve_event, NO_PARAMETERS),
]


def find(method: str, path: str) -> tuple[Route, list[str]]:
    """The route of a request and the ids in its path. Raises 404 as Stripe does."""
    known = ROUTES_V2 if path.startswith(V2) else ROUTES
    steps = path.removeprefix(V2).removeprefix("/v1/").split("/")
    for route in known:
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

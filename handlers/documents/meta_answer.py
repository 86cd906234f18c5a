"""The type of what `GET /api/meta` answers: `handlers/meta.py` and `server/meta.py` make it."""

from typing import Annotated, Any

import msgspec

from domain.kernel.fields import about


class CurrencyFacts(msgspec.Struct, frozen=True):
    """A currency that is settled."""

    code: Annotated[str, about("ISO 4217.")]
    exponent: Annotated[int, about("How many decimals an amount has for people.")]
    minimum: Annotated[int, about("The least amount of an offer, in minor units.")]
    step: Annotated[int, about("Amounts are multiples of this, in minor units.")]
    minimum_withdrawal: Annotated[
        int,
        about("The least withdrawal, in minor units; all that is available can be less."),
    ] = 0


class MoneyFacts(msgspec.Struct, frozen=True):
    """Currencies and fees."""

    currencies: Annotated[list[CurrencyFacts], about("The currencies that are settled.")]
    default_currency: Annotated[str, about("The main currency.")]
    max_amount: Annotated[int, about("The greatest amount of an offer, in minor units.")]
    platform_fee_bps: Annotated[int, about("On the whole amount, in basis points (1/10000).")]
    service_fee_bps: Annotated[int, about("On completed work, in basis points (1/10000).")]


class PageFacts(msgspec.Struct, frozen=True):
    """The sizes of lists."""

    default: Annotated[int, about("How many items a page has without `limit`.")]
    max: Annotated[int, about("The greatest `limit`.")]
    max_bytes: Annotated[int, about("A page ends when its items reach this size as JSON.")]


class DefaultAndRange(msgspec.Struct, frozen=True):
    """A number that may be left out."""

    default: Annotated[int, about("What it is then.")]
    min: Annotated[int, about("The least.")]
    max: Annotated[int, about("The greatest.")]


class OfferFacts(msgspec.Struct, frozen=True):
    """Offers."""

    max_milestones: Annotated[int, about("The most milestones of an offer.")]
    expires_in_hours: Annotated[DefaultAndRange, about("How long an offer may wait.")]


class JobFacts(msgspec.Struct, frozen=True):
    """Jobs."""

    auto_complete_days: Annotated[int, about("Delivered work is completed after so many days.")]
    max_saved_searches: Annotated[int, about("The most saved searches of a user.")]
    default_radius_km: Annotated[float, about("Of a search near a place, in km.")]


class ChatFacts(msgspec.Struct, frozen=True):
    """Conversations."""

    editable_seconds: Annotated[int, about("How long an author may edit, in seconds.")]


class FileFacts(msgspec.Struct, frozen=True):
    """Uploads."""

    types: Annotated[
        dict[str, list[str]], about("The accepted types, each with the endings of names.")
    ]
    max_bytes: Annotated[int, about("The size of a file.")]
    max_attached: Annotated[int, about("The most files of one job, message, delivery or entry.")]
    quota_bytes: Annotated[int, about("The size of all files of a user.")]
    quota_files: Annotated[int, about("The number of all files of a user.")]
    attached_within_seconds: Annotated[
        int, about("Then a file that belongs to nothing is removed.")
    ]
    ticket_seconds: Annotated[int, about("How long a ticket is valid.")]


class AccountFacts(msgspec.Struct, frozen=True):
    """Accounts and sessions."""

    verification_required: Annotated[bool, about("Whether `register` asks to verify the address.")]
    password: Annotated[dict[str, Any], about("The limits of new passwords, by rule.")]
    max_sessions: Annotated[int, about("The most sessions of a user.")]
    access_token_seconds: Annotated[int, about("How long an access token is valid.")]
    unused_session_seconds: Annotated[int, about("How long a session lives without use.")]
    longest_session_seconds: Annotated[int, about("How long a session lives at most.")]
    challenge_seconds: Annotated[int, about("How long the second step of a sign-in may take.")]
    step_up_seconds: Annotated[int, about("How long a step-up holds.")]
    pushes_kept_seconds: Annotated[int, about("How long `account.sync` has missed pushes.")]


class PaymentFacts(msgspec.Struct, frozen=True):
    """What Stripe's own clients need."""

    stripe_publishable_key: Annotated[
        str,
        about(
            "Stripe.js and Stripe's mobile SDKs confirm a `client_secret` with it; empty where none"
            " is configured."
        ),
    ]
    methods: Annotated[
        list[str],
        about("The types of payment methods that customers may pay with, by Stripe's names."),
    ]
    sandbox: Annotated[
        bool,
        about(
            "Whether a sandbox takes Stripe's place: then Stripe.js is of no use, and test methods"
            " such as `pm_card_visa` pay."
        ),
    ]


class RealtimeFacts(msgspec.Struct, frozen=True):
    """Sockets."""

    ping_interval_seconds: Annotated[float, about("The server pings so often.")]
    ping_timeout_seconds: Annotated[float, about("Answer a ping within this time.")]
    head_seconds: Annotated[float, about("`head` is pushed so often.")]
    first_namespace_seconds: Annotated[float, about("Connect a namespace within this time.")]
    max_command_characters: Annotated[
        int,
        about(
            "The length of a command, with its header. One whose texts may be longer has as much "
            "as these take when each of their characters is escaped."
        ),
    ]
    max_connections_per_user: Annotated[int, about("On one process.")]
    max_rooms_per_connection: Annotated[int, about("Watched jobs and people.")]


class RequestFacts(msgspec.Struct, frozen=True):
    """HTTP requests."""

    max_body_bytes: Annotated[
        int, about("The size of a JSON body; larger for longer texts, as for commands.")
    ]
    max_query_parameters: Annotated[int, about("The most parameters of a query.")]
    max_request_id_characters: Annotated[int, about("The length of a request id.")]
    max_uploads_at_once: Annotated[int, about("Of one user.")]
    max_downloads_at_once: Annotated[int, about("Of one user.")]


class RateFacts(msgspec.Struct, frozen=True):
    """`requests` at once, and from then on as many in `seconds`."""

    requests: Annotated[float, about("At once.")]
    seconds: Annotated[float, about("Until all may be made again.")]


class OperationRate(RateFacts, frozen=True):
    """A limit of one operation, or of all with the same bucket."""

    per: Annotated[str, about("Whose requests are counted together: user, address or account.")]
    bucket: Annotated[str, about("Operations with the same bucket are counted together.")]
    cost: Annotated[float | None, about("Of one request; null if it depends on the request.")]


class RatesFacts(msgspec.Struct, frozen=True):
    """Rate limits in force."""

    all: Annotated[RateFacts, about("All commands of a user.")]
    command_bytes: Annotated[int, about("A command counts once for each so many bytes.")]
    answer_bytes: Annotated[int, about("A larger answer counts once for each so many bytes.")]
    operations: Annotated[
        dict[str, list[OperationRate]], about("The limits of single operations, by name.")
    ]


class Facts(msgspec.Struct, frozen=True):
    """What this server enforces."""

    contract: Annotated[str, about("The version of commands, pushes and paths.")]
    roles: Annotated[list[str], about("The roles that one may register with.")]
    money: Annotated[MoneyFacts, about("Currencies and fees.")]
    countries: Annotated[list[str], about("Where bank accounts may be, ISO 3166.")]
    pages: Annotated[PageFacts, about("The sizes of lists.")]
    offers: Annotated[OfferFacts, about("Limits of offers.")]
    jobs: Annotated[JobFacts, about("Limits of jobs.")]
    chat: Annotated[ChatFacts, about("Limits of conversations.")]
    files: Annotated[FileFacts, about("Types, sizes and numbers of files.")]
    accounts: Annotated[AccountFacts, about("Limits of accounts and sessions.")]
    fields: Annotated[
        dict[str, dict[str, dict[str, Any]]],
        about("The limits of fields: by command, by the path of the field, by rule."),
    ]
    payments: Annotated[PaymentFacts, about("What Stripe's own clients need.")]
    realtime: Annotated[RealtimeFacts, about("Limits of sockets.")]
    requests: Annotated[RequestFacts, about("Limits of HTTP requests.")]
    rates: Annotated[RatesFacts, about("Rate limits in force.")]

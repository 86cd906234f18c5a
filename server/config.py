"""Reads environment variables into one frozen Settings struct; reports all problems at once."""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

import msgspec

from domain.kernel.money import CURRENCIES
from domain.ports.method_types import DEFAULT_METHODS, methods_for
from server.money_settings import country, currencies, exchange_rates, items, payment_methods
from server.redaction import secrets_of_url

T = TypeVar("T")
Network = IPv4Network | IPv6Network

MIN_KEY_BYTES = 32
MIN_DISTINCT_BYTES = 8  # 32 random bytes have about 30; a typed or repeated pattern has few
KNOWN_WORDS = (b"demo", b"dev", b"secret", b"change", b"example", b"password")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
BASIS_POINTS = 10_000
LOCAL = ("localhost", "::1")
HIDDEN = frozenset(
    {
        "mongo_url",
        "redis_urls",
        "stripe_secret_key",
        "stripe_webhook_secrets",
        "jwt_keys",
        "audit_keys",
        "field_keys",
        "smtp_url",
    }
)


class ConfigError(Exception):
    """The environment cannot be used; the message has one line for each problem."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("The configuration needs changes:\n  " + "\n  ".join(problems))


class SecretKey(msgspec.Struct, frozen=True):
    """One signing key; `kid` travels in the token's header."""

    kid: str
    secret: bytes

    def __repr__(self) -> str:
        return f"SecretKey(kid={self.kid!r})"


class Settings(msgspec.Struct, kw_only=True, frozen=True):
    """All configuration. Fees are in basis points, `drain_seconds` in seconds."""

    host: str
    port: int
    data_dir: Path
    mongo_url: str
    redis_urls: tuple[str, ...]  # the first stores data, all carry pushes to rooms
    stripe_secret_key: str
    stripe_publishable_key: str
    stripe_webhook_secrets: tuple[str, ...]
    stripe_api_base: str | None
    stripe_accounts: str  # "v2", or "v1": by which version accounts of contractors are made
    platform_country: str  # of the platform's account at Stripe
    cross_border_payouts: bool  # whether Stripe allows accounts under the recipient agreement
    jwt_keys: tuple[SecretKey, ...]  # the first signs, all verify
    audit_keys: tuple[SecretKey, ...]  # of the audit trail; the first signs, all verify
    field_keys: tuple[SecretKey, ...]  # of stored fields; the first encrypts, all decrypt
    encrypt_messages: bool  # whether chat texts are encrypted as well
    public_url: str
    security_contact: str  # for reports of vulnerabilities, in security.txt
    cors_origins: tuple[str, ...]
    trusted_proxies: tuple[Network, ...]
    currencies: tuple[str, ...]  # the first is the default
    # The value of one unit of a currency in the default one, for comparing budgets.
    exchange_rates: tuple[tuple[str, float], ...]
    # Currencies of these whose special payout rules are accepted.
    special_currencies: tuple[str, ...]
    payment_methods: tuple[str, ...]  # types of payment methods that customers may pay with
    platform_fee_bps: int
    service_fee_bps: int
    auto_complete_days: int  # from the delivery; 0: never
    admin_approval_amount: int  # in minor units of any currency; 0: never
    card_attempts: int  # of a user or a card in a day, before delays; 0: no bound
    caused_refunds: int  # before any work, of a customer in a day; 0: any number
    minimum_withdrawal: int  # in US cents, or as much in another currency; 0: any
    drain_seconds: int
    realtime: str  # "fast", or "stock": aiohttp and python-engineio serve every websocket
    commands_per_second: int  # of one user
    sign_ins_per_minute: int  # of one address
    require_second_factor: bool  # of administrators; `server dev` does not
    max_connections: int  # of one process
    connections_per_address: int
    sockets_per_user: int
    require_verification: bool  # of e-mail addresses; `server dev` does not
    smtp_url: str | None  # None: mails are only logged
    mail_from: str
    s3_bucket: str | None  # None: files are stored in the database
    s3_endpoint: str | None
    log_level: str
    demo: bool = False  # whether demo accounts may sign in; only `server dev` sets this

    @property
    def live(self) -> bool:
        """Whether real money moves."""
        return "_live_" in self.stripe_secret_key

    @property
    def redis_url(self) -> str:
        """The Redis server of sessions, rate limits and presence."""
        return self.redis_urls[0]

    @property
    def unencrypted(self) -> tuple[str, ...]:
        """The variables that name another machine and no encryption on the way to it."""
        addresses = {
            "PUBLIC_URL": [self.public_url],
            "MONGO_URL": [self.mongo_url],
            "REDIS_URL": self.redis_urls,
            "S3_ENDPOINT": [self.s3_endpoint or ""],
        }
        return tuple(name for name, urls in addresses.items() if any(map(_is_open, urls)))

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that must not be shown."""
        found: list[str] = []
        for name in HIDDEN:
            value = getattr(self, name)
            for each in value if isinstance(value, tuple) else (value,):
                if isinstance(each, SecretKey):
                    found.append(base64.b64encode(each.secret).decode())
                elif each:
                    found += secrets_of_url(each) if "://" in each else [each]
        return tuple(found)

    def __repr__(self) -> str:
        """Without secrets: keys, and URLs that may contain passwords."""
        shown = (name for name in self.__struct_fields__ if name not in HIDDEN)
        return f"Settings({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


def load(env: Mapping[str, str]) -> Settings:
    """Read and check the environment. Raises ConfigError that lists every problem."""
    read = _Reader(env)
    port = read("PORT", "8080", _integer(1, 65535), 8080)
    public_url = read("PUBLIC_URL", f"http://localhost:{port}", _origin, "")
    settings = Settings(
        host=read("HOST", "127.0.0.1", str, ""),
        port=port,
        data_dir=read("DATA_DIR", ".data", Path, Path()),
        mongo_url=read("MONGO_URL", None, _url("mongodb", "mongodb+srv"), ""),
        redis_urls=read("REDIS_URL", None, _each(_url("redis", "rediss", "unix")), ()),
        stripe_secret_key=read("STRIPE_SECRET_KEY", None, _key("sk", "rk"), ""),
        stripe_publishable_key=read("STRIPE_PUBLISHABLE_KEY", "", _optional(_key("pk"), ""), ""),
        stripe_webhook_secrets=read("STRIPE_WEBHOOK_SECRETS", None, _webhook_secrets, ()),
        stripe_api_base=read("STRIPE_API_BASE", "", _optional(_api_base, None), None),
        stripe_accounts=read("STRIPE_ACCOUNTS", "v2", _one_of("v2", "v1"), "v2"),
        platform_country=read("PLATFORM_COUNTRY", "US", country, "US"),
        cross_border_payouts=read("CROSS_BORDER_PAYOUTS", "off", _switch, False),
        jwt_keys=read("JWT_KEYS", None, _keys, ()),
        audit_keys=read("AUDIT_KEY", None, _keys, ()),
        field_keys=read("FIELD_KEYS", None, _keys, ()),
        encrypt_messages=read("ENCRYPT_MESSAGES", "off", _one_of("on", "off"), "off") == "on",
        public_url=public_url,
        security_contact=read(
            "SECURITY_CONTACT", f"mailto:security@{urlsplit(public_url).hostname}", _contact, ""
        ),
        cors_origins=read("CORS_ORIGINS", public_url, _each(_origin), ()),
        trusted_proxies=read("TRUSTED_PROXIES", "", _each(_network), ()),
        currencies=read("CURRENCY", "USD", currencies, ()),
        exchange_rates=read("EXCHANGE_RATES", "", exchange_rates, ()),
        special_currencies=read("SPECIAL_CURRENCIES", "", _each(str), ()),
        payment_methods=read("PAYMENT_METHODS", ",".join(DEFAULT_METHODS), payment_methods, ()),
        platform_fee_bps=read("PLATFORM_FEE_BPS", "1000", _integer(0, BASIS_POINTS), 0),
        service_fee_bps=read("SERVICE_FEE_BPS", "2000", _integer(0, BASIS_POINTS), 0),
        auto_complete_days=read("AUTO_COMPLETE_DAYS", "7", _integer(0, 90), 0),
        admin_approval_amount=read("ADMIN_APPROVAL_AMOUNT", "100000", _integer(0, 999_999_999), 0),
        card_attempts=read("CARD_ATTEMPTS", "10", _integer(0, 1000), 0),
        caused_refunds=read("CAUSED_REFUNDS", "10", _integer(0, 1000), 0),
        minimum_withdrawal=read("MINIMUM_WITHDRAWAL", "100", _integer(0, 10_000), 0),
        drain_seconds=read("DRAIN_SECONDS", "20", _integer(0, 3600), 0),
        realtime=read("REALTIME", "fast", _one_of("fast", "stock"), "fast"),
        commands_per_second=read("COMMANDS_PER_SECOND", "50", _integer(1, 1_000_000), 1),
        sign_ins_per_minute=read("SIGN_INS_PER_MINUTE", "60", _integer(1, 100_000), 1),
        require_second_factor=read("REQUIRE_SECOND_FACTOR", "on", _switch, True),
        max_connections=read("MAX_CONNECTIONS", "20000", _integer(16, 1_000_000), 16),
        connections_per_address=read("CONNECTIONS_PER_ADDRESS", "500", _integer(1, 1_000_000), 1),
        sockets_per_user=read("SOCKETS_PER_USER", "50", _integer(1, 1_000_000), 1),
        require_verification=read("REQUIRE_VERIFICATION", "on", _switch, True),
        smtp_url=read("SMTP_URL", "", _optional(_smtp_url, None), None),
        mail_from=read("MAIL_FROM", f"no-reply@{urlsplit(public_url).hostname}", _sender, ""),
        s3_bucket=read("S3_BUCKET", "", _optional(_bucket, None), None),
        s3_endpoint=read("S3_ENDPOINT", "", _optional(_api_base, None), None),
        log_level=read("LOG_LEVEL", "INFO", _log_level, ""),
    )
    problems = read.problems + _contradictions(settings)
    if problems:
        raise ConfigError(problems)
    return settings


class _Reader:
    """Parses one variable at a time and collects the problems instead of stopping."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self.problems: list[str] = []

    def __call__(self, name: str, default: str | None, parse: Callable[[str], T], failed: T) -> T:
        """Parse `name`, or its default when unset or empty (None = it must be set)."""
        text = self.env.get(name, "").strip() or default
        if text is None:
            self.problems.append(f"{name} is required: set it")
            return failed
        try:
            return parse(text)
        except ValueError as refused:
            self.problems.append(f"{name} {refused}")
            return failed


def _contradictions(settings: Settings) -> list[str]:
    """Problems of two variables that are valid on their own."""
    problems = []
    if settings.platform_fee_bps + settings.service_fee_bps > BASIS_POINTS:
        problems.append(
            f"PLATFORM_FEE_BPS and SERVICE_FEE_BPS together must be at most {BASIS_POINTS}: "
            "lower one of them"
        )
    for code in settings.currencies:
        if code not in CURRENCIES:
            problems.append(f"CURRENCY must name currencies that are known here: remove {code}")
        elif CURRENCIES[code].special and code not in settings.special_currencies:
            problems.append(
                f"CURRENCY names {code}, which Stripe pays out in whole units only: remove it, or "
                f"add {code} to SPECIAL_CURRENCIES to accept that"
            )
        elif settings.payment_methods and not methods_for(settings.payment_methods, code):
            problems.append(
                f"PAYMENT_METHODS names no method that pays in {code}: add card, or remove {code} "
                "from CURRENCY"
            )
    live = "_live_" in settings.stripe_secret_key
    if live and settings.stripe_api_base:
        problems.append(
            "STRIPE_API_BASE must not be set with a live STRIPE_SECRET_KEY: remove it, "
            "or use a test key"
        )
    if settings.s3_endpoint and not settings.s3_bucket:
        problems.append("S3_ENDPOINT needs S3_BUCKET: set it, or remove S3_ENDPOINT")
    both = settings.stripe_secret_key and settings.stripe_publishable_key
    if both and live != ("_live_" in settings.stripe_publishable_key):
        problems.append(
            "STRIPE_PUBLISHABLE_KEY and STRIPE_SECRET_KEY must both be test keys or both be "
            "live keys: take both from the same page of Stripe's dashboard"
        )
    return problems


# Parsers from text to a value. An error message continues a sentence that begins with the name of
# the variable, and never repeats the value, which may be a secret.


def _optional(parse: Callable[[str], str], absent: T) -> Callable[[str], str | T]:
    return lambda text: parse(text) if text else absent


def _each(parse: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    return lambda text: tuple(parse(item) for item in items(text))


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be {' or '.join(choices)}")
        return text

    return parse


def _switch(text: str) -> bool:
    return _one_of("on", "off")(text) == "on"


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        scheme, separator, rest = text.partition("://")
        if scheme not in schemes or not separator or not rest:
            raise ValueError(f"must start with {' or '.join(f'{s}://' for s in schemes)}")
        if rest.partition("/")[0].count("@") > 1:  # else a part of the password becomes a host
            raise ValueError("has an @ in its user or password: percent-encode it, as %40")
        if _accepts_any_certificate(text):
            raise ValueError(
                "has an option that accepts any certificate: remove it, and name your CA instead "
                "(tlsCAFile of MongoDB, ssl_ca_certs of Redis)"
            )
        return text

    return parse


def _origin(text: str) -> str:
    """An origin exactly as browsers send it: scheme, lower-case host, port."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.hostname == "*":
        raise ValueError("must be an address such as https://jobs.example.com")
    if text != f"{parts.scheme}://{parts.netloc}".lower() or "@" in text:
        raise ValueError(
            "must be scheme, host and port only, in lower case: remove the path, "
            "the trailing slash or the user"
        )
    # Browsers omit the default port of the scheme.
    return text.removesuffix(":80" if parts.scheme == "http" else ":443")


def _accepts_any_certificate(url: str) -> bool:
    options = {name.lower(): value.lower() for name, value in parse_qsl(url.partition("?")[2])}
    unchecked = ("tlsinsecure", "tlsallowinvalidcertificates", "tlsallowinvalidhostnames")
    return (
        any(options.get(name) == "true" for name in unchecked)
        or options.get("ssl_cert_reqs", "required") != "required"
        or options.get("ssl_check_hostname", "true") != "true"
    )


def _is_open(url: str) -> bool:
    """Whether a connection to this address leaves the machine without TLS."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query.lower()))
    tls = "true" in (options.get("tls"), options.get("ssl"))
    hosts = (urlsplit(f"//{host}").hostname for host in parts.netloc.rpartition("@")[2].split(","))
    return (
        parts.scheme in ("http", "redis", "mongodb")
        and not tls
        and not all(host in LOCAL or host.startswith("127.") for host in hosts if host)
    )


def _api_base(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or text.endswith("/"):
        raise ValueError("must be an http(s) address without a trailing slash")
    return text


def _bucket(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", text):
        raise ValueError("must be the name of a bucket: 3 to 63 of a-z, 0-9, dot and hyphen")
    return text


def _smtp_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("smtp", "smtps") and parts.hostname and parts.port != 0
    except ValueError:  # its message would repeat a part of the URL
        usable = False
    if not usable or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(
            "must be an address such as smtp://user:password@mail.example.com:587 or smtps://..., "
            "with special characters in the password percent-encoded"
        )
    if bool(parts.username) != bool(parts.password):
        raise ValueError("must have both a user and a password, or neither")
    return text


def _sender(text: str) -> str:
    address = parseaddr(text)[1]
    if not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", address) or not text.isprintable():
        raise ValueError("must be a mail address such as JobSphere <no-reply@example.com>")
    return text


def _contact(text: str) -> str:
    if not re.fullmatch(r"mailto:[^@\s]+@[^@\s]+|https://\S+", text) or not text.isascii():
        raise ValueError("must be mailto:security@example.com or an https:// address")
    return text


def _key(*kinds: str) -> Callable[[str], str]:
    prefixes = [f"{kind}_{mode}_" for kind in kinds for mode in ("test", "live")]

    def parse(text: str) -> str:
        if not re.fullmatch(f"({'|'.join(prefixes)})[A-Za-z0-9_]+", text):
            raise ValueError(f"must be a Stripe key that starts with {' or '.join(prefixes)}")
        return text

    return parse


def _webhook_secrets(text: str) -> tuple[str, ...]:
    secrets = tuple(items(text))
    if not secrets or not all(re.fullmatch(r"whsec_\S+", secret) for secret in secrets):
        raise ValueError("must be signing secrets that start with whsec_, separated by commas")
    return secrets


def _keys(text: str) -> tuple[SecretKey, ...]:
    keys = tuple(_secret_key(item) for item in items(text))
    if not keys:
        raise ValueError("needs at least one key, written kid:base64")
    if len({key.kid for key in keys}) < len(keys):
        raise ValueError("names the same kid twice: give every key its own")
    return keys


def _secret_key(text: str) -> SecretKey:
    kid, separator, encoded = text.partition(":")
    if not separator or not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", kid):
        raise ValueError("must be keys written kid:base64, separated by commas")
    try:
        secret = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(
            f"key {kid} is not base64: make one with `openssl rand -base64 32`"
        ) from None
    if len(secret) < MIN_KEY_BYTES or _guessable(secret):
        raise ValueError(
            f"key {kid} is too weak: use {MIN_KEY_BYTES} random bytes or more, "
            "`openssl rand -base64 32`"
        )
    return SecretKey(kid, secret)


def _guessable(secret: bytes) -> bool:
    """Whether it has few different bytes, or is readable text with a word that examples use."""
    readable = all(0x20 <= byte < 0x7F for byte in secret)
    return len(set(secret)) < MIN_DISTINCT_BYTES or (
        readable and any(word in secret.lower() for word in KNOWN_WORDS)
    )


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError:
        raise ValueError(
            "must be IP networks such as 10.0.0.0/8 (with no host bits set), separated by commas"
        ) from None


def _log_level(text: str) -> str:
    if text.upper() not in LOG_LEVELS:
        raise ValueError(f"must be one of {', '.join(LOG_LEVELS)}")
    return text.upper()

"""The environment becomes Settings, or one error that names every problem and no secret."""

import base64
from ipaddress import ip_network
from pathlib import Path

import pytest

from server.config import ConfigError, SecretKey, load

SECRET = bytes(range(32))
ENCODED = base64.b64encode(SECRET).decode()
GOOD = {
    "MONGO_URL": "mongodb://user:mongopass@localhost/jobsphere",
    "REDIS_URL": "redis://:redispass@localhost/0",
    "STRIPE_SECRET_KEY": "sk_test_abc123",
    "STRIPE_WEBHOOK_SECRETS": "whsec_one, whsec_two",
    "JWT_KEYS": f"new:{ENCODED}",
    "AUDIT_KEY": f"new:{ENCODED}",
    "FIELD_KEYS": f"new:{ENCODED}",
}
REQUIRED = sorted(GOOD)


def problems(**changes: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(GOOD | changes)
    return caught.value.problems


def key(secret: bytes) -> str:
    return f"k:{base64.b64encode(secret).decode()}"


def test_only_the_required_variables_give_the_documented_defaults() -> None:
    """Fails without the defaults in load()."""
    settings = load(GOOD)
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.1", 8080, Path(".data"))
    assert settings.public_url == "http://localhost:8080"
    assert settings.cors_origins == ("http://localhost:8080",)
    assert settings.stripe_webhook_secrets == ("whsec_one", "whsec_two")
    assert settings.jwt_keys == (SecretKey("new", SECRET),)
    assert (settings.currencies, settings.trusted_proxies) == (("USD",), ())
    assert (settings.platform_fee_bps, settings.service_fee_bps) == (1000, 2000)
    assert (settings.drain_seconds, settings.log_level, settings.demo) == (20, "INFO", False)
    assert settings.stripe_api_base is None
    assert settings.stripe_publishable_key == ""
    assert settings.require_second_factor is True
    assert settings.require_verification
    assert settings.payment_methods == ("card", "link")


def test_payment_methods_are_known_and_pay_in_every_currency() -> None:
    """Fails without `_methods`, or the check of the currencies in `_contradictions`."""
    listed = load(GOOD | {"PAYMENT_METHODS": "crypto, card,crypto"})
    assert listed.payment_methods == ("crypto", "card")
    (unknown,) = problems(PAYMENT_METHODS="card,klarna")
    assert unknown.startswith("PAYMENT_METHODS must be types of payment methods")
    (unpayable,) = problems(PAYMENT_METHODS="crypto,us_bank_account", CURRENCY="USD,EUR")
    assert unpayable == (
        "PAYMENT_METHODS names no method that pays in EUR: add card, or remove EUR from CURRENCY"
    )


def test_lists_keep_their_order_because_the_first_entry_leads() -> None:
    """Fails when _keys or _currencies returns a set or sorts."""
    old = base64.b64encode(bytes(range(40, 80))).decode()
    settings = load(GOOD | {"JWT_KEYS": f"z:{ENCODED},a:{old}", "CURRENCY": "usd, EUR"})
    assert [each.kid for each in settings.jwt_keys] == ["z", "a"]
    assert settings.currencies == ("USD", "EUR")


def test_exchange_rates_are_parsed_and_checked() -> None:
    """Guard: `money_settings.exchange_rates`."""
    settings = load(GOOD | {"EXCHANGE_RATES": "eur=1.08, JPY=0.0067"})
    assert settings.exchange_rates == (("EUR", 1.08), ("JPY", 0.0067))
    for wrong in ("EUR", "EUR=1,EUR=2", "XXX=1", "EUR=-1", "EUR=1e400", "EUR=0"):
        assert len(problems(EXCHANGE_RATES=wrong)) == 1, wrong


def test_origins_and_networks_are_parsed() -> None:
    """Fails without _each(_origin) and _each(_network) in load()."""
    settings = load(
        GOOD
        | {
            "PORT": "80",
            "CORS_ORIGINS": "https://a.example, https://b.example:8443,https://c.example:443",
            "TRUSTED_PROXIES": "10.0.0.0/8,::1",
        }
    )
    assert settings.public_url == "http://localhost"
    expected = ("https://a.example", "https://b.example:8443", "https://c.example")
    assert settings.cors_origins == expected
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1"))


def test_all_missing_variables_are_told_at_once() -> None:
    """Fails when _Reader raises at the first problem instead of collecting."""
    with pytest.raises(ConfigError) as caught:
        load({"MONGO_URL": "  "})
    assert sorted(line.split()[0] for line in caught.value.problems) == REQUIRED
    assert all(line in str(caught.value) for line in caught.value.problems)


def test_each_bad_value_is_named_in_its_own_line() -> None:
    """Fails when a parser accepts its bad value here, or when the collecting stops early."""
    bad = {
        "PORT": "70000",
        "PUBLIC_URL": "https://jobs.example.com/",
        "CORS_ORIGINS": "*",
        "MONGO_URL": "postgres://localhost",
        "REDIS_URL": "localhost:6379",
        "STRIPE_WEBHOOK_SECRETS": "whsec_one,two",
        "STRIPE_API_BASE": "ftp://localhost",
        "STRIPE_ACCOUNTS": "v3",
        "PLATFORM_COUNTRY": "ZZ",
        "TRUSTED_PROXIES": "10.0.0.1/8",
        "CURRENCY": "US",
        "EXCHANGE_RATES": "EUR=0",
        "PLATFORM_FEE_BPS": "-1",
        "DRAIN_SECONDS": "soon",
        "LOG_LEVEL": "LOUD",
    }
    assert sorted(line.split()[0] for line in problems(**bad)) == sorted(bad)


@pytest.mark.parametrize(
    "origin",
    ["jobs.example.com", "https://Jobs.example.com", "https://u@a.example", "https://a.example/x"],
)
def test_an_origin_that_no_browser_would_send_is_refused(origin: str) -> None:
    """Fails without the comparison with scheme and host in _origin()."""
    assert [line.split()[0] for line in problems(CORS_ORIGINS=origin)] == ["CORS_ORIGINS"]


@pytest.mark.parametrize(
    "keys",
    [
        "no-colon",
        "k:not base64!",
        key(bytes(range(31))),
        key(b"\x07" * 32),
        key(b"demo-jobsphere-signing-key-0123456789"),
        key(b"a-DEV-key-that-somebody-typed-by-hand"),
        f"same:{ENCODED},same:{ENCODED}",
    ],
)
def test_weak_or_malformed_signing_keys_are_refused(keys: str) -> None:
    """Fails without the length, _guessable() or duplicate guard of _keys()."""
    assert [line.split()[0] for line in problems(JWT_KEYS=keys)] == ["JWT_KEYS"]


@pytest.mark.parametrize("secret_key", ["pk_test_abc", "sk_prod_abc", "abc", "sk_test_"])
def test_a_secret_key_with_another_prefix_is_refused(secret_key: str) -> None:
    """Fails without the prefix pattern in _key()."""
    assert [line.split()[0] for line in problems(STRIPE_SECRET_KEY=secret_key)] == [
        "STRIPE_SECRET_KEY"
    ]


def test_a_live_key_never_goes_to_another_address_than_stripe() -> None:
    """Fails without the STRIPE_API_BASE guard in _contradictions()."""
    live = {"STRIPE_SECRET_KEY": "sk_live_abc123", "STRIPE_API_BASE": "http://127.0.0.1:9"}
    assert [line.split()[0] for line in problems(**live)] == ["STRIPE_API_BASE"]
    test_key = load(GOOD | {"STRIPE_API_BASE": "http://127.0.0.1:9"})
    assert test_key.stripe_api_base == "http://127.0.0.1:9"


def test_a_live_and_a_test_key_do_not_mix() -> None:
    """Fails without the comparison of both modes in _contradictions()."""
    refused = problems(STRIPE_PUBLISHABLE_KEY="pk_live_abc123")
    assert [line.split()[0] for line in refused] == ["STRIPE_PUBLISHABLE_KEY"]


def test_fees_together_may_take_all_but_not_more() -> None:
    """Fails without the guard on the sum in _contradictions()."""
    assert load(GOOD | {"PLATFORM_FEE_BPS": "8000"}).platform_fee_bps == 8000
    assert "SERVICE_FEE_BPS" in problems(PLATFORM_FEE_BPS="8001")[0]


def test_no_secret_appears_in_an_error_or_a_printed_setting() -> None:
    """Fails when a parser repeats its text, or without Settings.__repr__ and SecretKey.__repr__."""
    bad = {
        "MONGO_URL": "x://user:hunter2@localhost",
        "REDIS_URL": "x://:hunter2@localhost",
        "STRIPE_SECRET_KEY": "hunter2",
        "STRIPE_WEBHOOK_SECRETS": "hunter2",
        "JWT_KEYS": "k:hunter2",
    }
    assert not any("hunter2" in line for line in problems(**bad))
    shown = repr(load(GOOD)) + repr(load(GOOD).jwt_keys)
    for secret in ("mongopass", "redispass", "sk_test_abc123", "whsec_one", repr(SECRET)):
        assert secret not in shown


def test_the_environment_cannot_turn_demo_accounts_on() -> None:
    """Fails when load() reads `demo` from a variable."""
    assert load(GOOD | {"DEMO": "1", "demo": "true"}).demo is False


def test_a_bucket_is_named_and_its_address_is_not_alone() -> None:
    """Fails without _bucket(), or without the S3_ENDPOINT guard in _contradictions()."""
    settings = load(GOOD | {"S3_BUCKET": "our.files-1", "S3_ENDPOINT": "https://s3.example"})
    assert (settings.s3_bucket, settings.s3_endpoint) == ("our.files-1", "https://s3.example")
    assert load(GOOD).s3_bucket is None
    for name in ("Files", "a", "-files", "files/1"):
        assert [line.split()[0] for line in problems(S3_BUCKET=name)] == ["S3_BUCKET"]
    assert [line.split()[0] for line in problems(S3_ENDPOINT="https://s3.example")] == [
        "S3_ENDPOINT"
    ]


def test_demands_are_switched_on_and_off() -> None:
    """Guard: `_switch` in `config`."""
    assert load(GOOD | {"REQUIRE_SECOND_FACTOR": "off"}).require_second_factor is False
    assert problems(REQUIRE_SECOND_FACTOR="no") == ("REQUIRE_SECOND_FACTOR must be on or off",)


@pytest.mark.parametrize(
    ("name", "address", "open_way"),
    [
        ("PUBLIC_URL", "http://jobs.example.com", True),
        ("PUBLIC_URL", "https://jobs.example.com", False),
        ("PUBLIC_URL", "http://127.0.0.1:8080", False),
        ("MONGO_URL", "mongodb://u:p@127.0.0.1,10.0.0.7/jobs?replicaSet=a", True),
        ("MONGO_URL", "mongodb://u:p@10.0.0.7,10.0.0.8:27018/jobs?replicaSet=a&tls=true", False),
        ("MONGO_URL", "mongodb+srv://u:p@cluster.example.com/jobs", False),
        ("MONGO_URL", "mongodb://localhost:27017/jobs", False),
        ("REDIS_URL", "rediss://10.0.0.7,redis://10.0.0.8", True),
        ("REDIS_URL", "rediss://10.0.0.7", False),
        ("REDIS_URL", "unix:///run/redis.sock", False),
    ],
)
def test_ways_without_encryption_are_named(name: str, address: str, open_way: bool) -> None:
    """Guard: `_is_open` and `Settings.unencrypted`, which `Container.start` warns of."""
    local = {"PUBLIC_URL": "http://localhost", "MONGO_URL": "mongodb://localhost/jobs"}
    settings = load(GOOD | local | {"REDIS_URL": "redis://localhost", name: address})
    assert settings.unencrypted == ((name,) if open_way else ())


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("MONGO_URL", "mongodb://10.0.0.7/jobs?tls=true&tlsAllowInvalidCertificates=true"),
        ("MONGO_URL", "mongodb+srv://cluster.example.com/jobs?tlsInsecure=true"),
        ("MONGO_URL", "mongodb://10.0.0.7/jobs?tls=true&tlsAllowInvalidHostnames=true"),
        ("REDIS_URL", "rediss://10.0.0.7?ssl_cert_reqs=none"),
        ("REDIS_URL", "rediss://10.0.0.7?ssl_check_hostname=False"),
    ],
)
def test_certificates_are_always_checked(name: str, address: str) -> None:
    """Guard: `_accepts_any_certificate`."""
    [problem] = problems(**{name: address})
    assert problem.startswith(f"{name} has an option that accepts any certificate")
    assert load(GOOD | {name: address.partition("?")[0]})

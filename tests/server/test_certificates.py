"""Connections to a server with an untrusted certificate are refused."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis.asyncio import ConnectionPool, Redis

from domain.kernel import mongo_client
from domain.ports.mail import Mail
from server.adapters.s3 import S3Blobs, bucket
from server.adapters.smtp import SmtpMail
from server.adapters.stripe_connections import connect
from server.adapters.system_clock import SystemClock
from server.pubsub.redis_connections import redis_pool

REFUSED = ("certificate_verify_failed", "certificate verify failed", "invalidcertificate")


def certificate(folder: Path) -> ssl.SSLContext:
    """A server's side, for `localhost`, signed by itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signed by itself")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form, pem = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
    file = folder / "server.pem"
    private = key.private_bytes(pem, form, serialization.NoEncryption())
    file.write_bytes(private + made.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(serve, "localhost", 0, ssl=certificate(tmp_path))
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def ask_stripe(port: int) -> None:
    client, connections = connect("sk_test_certificates", f"https://localhost:{port}")
    try:
        await client.v1.customers.create_async({"email": "nia@example.com"})
    finally:
        await connections.close_async()


async def send_mail(port: int) -> None:
    mail = Mail("ntf_1", "usr_1", "nia@example.com", "Hello", "Hello")
    await SmtpMail(f"smtps://localhost:{port}", "no-reply@jobs.test", SystemClock()).send(mail)


async def ask_redis(port: int) -> None:
    pool = redis_pool(ConnectionPool, f"rediss://localhost:{port}")
    try:
        await Redis(connection_pool=pool).get("key")
    finally:
        await pool.aclose()


async def ask_mongodb(port: int) -> None:
    client = mongo_client.connect(f"mongodb://localhost:{port}/jobs?tls=true", 1)
    try:
        await client.admin.command("ping")
    finally:
        client.close()


async def ask_the_bucket(port: int) -> None:
    async for _ in S3Blobs(bucket("files", f"https://localhost:{port}", "")).read("key", 0, 1):
        pass


@pytest.mark.parametrize("ask", [ask_stripe, send_mail, ask_redis, ask_mongodb, ask_the_bucket])
async def test_a_certificate_of_nobody_is_refused(
    port: int, monkeypatch: pytest.MonkeyPatch, ask: Callable[[int], Awaitable[None]]
) -> None:
    """Fails when a client is made that does not check certificates."""
    monkeypatch.setattr(mongo_client, "SELECTION_SECONDS", 0.5)
    monkeypatch.setattr("server.adapters.s3.RETRIES", {"max_retries": 0})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(name, "eu-central-1")
    with pytest.raises(Exception) as failed:
        await ask(port)
    why, error = "", failed.value
    while error:
        why, error = f"{why} {error}".lower(), error.__cause__ or error.__context__
    assert any(text in why for text in REFUSED), why

"""What is readable in the stores' files and the logs after a whole story."""

import asyncio
from pathlib import Path

import bson
import pytest

from domain.accounts.user import User
from domain.deals.payment import Payment
from domain.ports.sessions import Tokens
from tests.support.parties import PASSWORD, Party

ADDRESS = "203.0.113.77"
FORWARDED = {"X-Forwarded-For": ADDRESS}
STREET = "Quittenweg 17b, Wolkenstein"
TEXT = "The xylophone lies behind the quince tree"


async def registered(market, role) -> Party:
    """A user who registered over HTTP, as a client does."""
    email = f"quince.{role}@orchard.example"
    body = {"email": email, "password": PASSWORD, "name": "Quentin", "role": role}
    client = market.anonymous_client()
    path = "/api/account/register"
    status, answer = await client.http("POST", path, body, headers=FORWARDED)
    assert status == 200, answer
    wrong = {"email": email, "password": "not the right password"}
    await client.http("POST", "/api/account/login", wrong, headers=FORWARDED)
    user = await market.store.single().get(User, answer["user"]["id"])
    assert user.email == email
    tokens = Tokens(answer["access_token"], answer["refresh_token"], user.created_at)
    party = Party(market.web, market.url, user, tokens)
    market.parties.append(party)
    await party.connect(reconnection=False)
    return party


async def story(market) -> set[str]:
    """From registering to the payout. Returns the client secrets that were handed out."""
    customer = await registered(market, "customer")
    contractor = await registered(market, "contractor")
    await market.onboard(contractor)
    place = {"lon": 13.4049541, "lat": 52.5200066, "label": STREET}
    job = await market.job(customer, location=place)
    application = await market.application(contractor, job)
    accepted = {"application_id": application["id"]}
    await customer.call("/job-request", "accept", accepted, request_id="accept-1")
    (talk,) = (await customer.call("/chat", "list"))["items"]
    said = {"conversation_id": talk["id"], "text": TEXT}
    sent = await contractor.call("/chat", "send", said, request_id="send-1")
    await customer.call("/chat", "report", {**said, "message_id": sent["id"], "reason": "other"})
    (found,) = (await customer.call("/chat", "search", {"q": "xylophone"}))["items"]
    assert found["text"] == TEXT
    setup = await customer.call("/payment", "setup")
    offer = await market.offer(customer, contractor, job)
    await market.accept(contractor, offer)
    payment = await market.store.single().get(Payment, offer["payment_id"])
    await market.start(contractor, job)
    about = {"job_id": job["id"], "reason": "quality", "text": TEXT}
    dispute = await customer.call("/payment", "dispute_open", about)
    answer = {"dispute_id": dispute["id"], "refund_amount": 10_000, "text": TEXT}
    await contractor.call("/payment", "dispute_propose", answer)
    agreed = {"dispute_id": dispute["id"], "refund_amount": 10_000}
    await customer.call("/payment", "dispute_agree", agreed)
    await customer.call("/account", "update", {"headline": "Quinces"}, request_id="update-1")
    await market.settled(30)
    return {setup["client_secret"], payment.client_secret} - {None}


def files_with(secret: str, folder: Path) -> list[str]:
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and secret.encode() in path.read_bytes()
    ]


@pytest.mark.timeout(120)
async def test_no_personal_or_secret_field_is_readable_at_rest(
    isolated_processes, mongo, stores_folder, tmp_path
):
    """Guard: `FieldCodec.seal` and the fields in ENCRYPTED and ENCRYPTED_MESSAGES."""
    await isolated_processes.redis()
    await isolated_processes.web(
        ENCRYPT_MESSAGES="on", TRUSTED_PROXIES="127.0.0.1", LOG_LEVEL="DEBUG"
    )
    market = isolated_processes.market
    secrets = await story(market)
    assert secrets
    wanted = {"quince.customer@", "quince.contractor@", ADDRESS, STREET, "xylophone", *secrets}
    database = mongo[market.store.name]
    found = {
        f"{secret} in {name}"
        for name in database.list_collection_names()
        for row in database[name].find()
        for secret in wanted
        if secret.encode() in bson.encode(row)
    }
    await asyncio.gather(*(each.stop() for each in isolated_processes.started))
    for folder in (stores_folder / "mongo", tmp_path):
        found |= {f"{secret} in {file}" for secret in wanted for file in files_with(secret, folder)}
    assert found == set()

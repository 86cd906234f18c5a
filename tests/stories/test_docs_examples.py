"""The examples that /docs shows, each of them run as it is."""

from pathlib import Path

from tests.stories.docs_examples import all_examples, in_a_shell, party_for, run
from tests.support.file_samples import picture
from tests.support.market import Market
from tests.support.parties import PASSWORD

SIGNED = {"account.passkey_add", "account.passkey_login"}  # by a passkey, for one challenge


async def test_every_example_of_curl_gets_a_documented_answer(
    market: Market, tmp_path: Path
) -> None:
    """Guard: `curl` in static/js/docs/examples.js."""
    (tmp_path / "fence.png").write_bytes(picture())
    customer = await market.customer(connect=False)
    found = await all_examples(market.url, customer.email, PASSWORD)
    operations = {each["name"]: each for each in found["operations"]}
    shown = {name: each for name, each in operations.items() if each["curl"]}
    parties = {name: await party_for(market, each) for name, each in shown.items()}
    lines = [(name, parties[name].token or "", each["curl"]) for name, each in shown.items()]
    answers = await in_a_shell(tmp_path, lines)
    assert [answer.name for answer in answers] == list(shown)
    for name, status, code, rule in answers:
        documented = operations[name]["refusals"]
        assert status == 200 or code in documented.get(str(status), ()), (name, status, code)
        is_formed = code != "invalid" or rule == "value" or name in SIGNED
        assert is_formed, f"the example of {name} is malformed: {rule}"


async def test_the_way_to_a_token_is_shown(market: Market, tmp_path: Path) -> None:
    """Guard: `setUp` in static/js/docs/examples.js."""
    customer = await market.customer(connect=False)
    found = await all_examples(market.url, customer.email, PASSWORD)
    script = f'{found["setUp"]["curl"]}\necho "$TOKEN"\n'
    token, errors = await run("sh", env={}, cwd=tmp_path, given=script)
    assert errors == ""
    customer.token = token.strip()
    assert (await customer.http("GET", "/api/account/me"))[1]["id"] == customer.id

"""The events that the endpoints at Stripe are subscribed to."""

import re
from pathlib import Path

from domain.stripe_events.inbox import REDUNDANT_TYPES
from server.adapters.webhook_events import (
    CONNECTED_EVENTS,
    PATH,
    PLATFORM_EVENTS,
    THIN_EVENTS,
    missing,
)
from tests.support import stripe_oracle

README = Path(__file__).parents[3] / "README.md"
V1_EVENTS = (*PLATFORM_EVENTS, *CONNECTED_EVENTS)


def endpoint(*events: str, url: str = f"https://market.example{PATH}", status: str = "enabled"):
    return {"enabled_events": list(events), "url": url, "status": status}


def test_stripe_has_all_of_these_events() -> None:
    """Guard: `webhook_events.PLATFORM_EVENTS`, of which none is stored without being processed."""
    described = stripe_oracle.spec()["paths"]["/v1/webhook_endpoints"]["post"]["requestBody"]
    (form,) = described["content"].values()
    known = set(form["schema"]["properties"]["enabled_events"]["items"]["enum"])
    assert set(V1_EVENTS) <= known
    assert not REDUNDANT_TYPES & set(V1_EVENTS)


def test_readme_names_these_events_for_each_endpoint() -> None:
    """Guard: `webhook_events.missing` asks for what README's "Deployment" says."""
    rows = re.findall(r"^  \| (?:webhook|event) .*\| (.*) \|$", README.read_text(), re.MULTILINE)
    named = [tuple(re.findall(r"`(.+?)`", row)) for row in rows]
    assert named == [PLATFORM_EVENTS, CONNECTED_EVENTS, THIN_EVENTS]


def test_what_is_missing() -> None:
    """Guard: `webhook_events.missing`: endpoints of other servers and disabled ones do not count,
    and what both kinds of endpoint send is needed of two."""
    both = [endpoint(*PLATFORM_EVENTS), endpoint(*CONNECTED_EVENTS)]
    assert missing(V1_EVENTS, both) == []
    assert missing(V1_EVENTS, [endpoint("*"), endpoint("*")]) == []
    others = [
        endpoint("*", url="https://market.example/other"),
        endpoint("*", status="disabled"),
        {"enabled_events": ["*"], "status": "enabled", "url": None},  # a queue of a cloud
    ]
    found = missing(V1_EVENTS, [both[0], *others])
    assert set(found) == set(CONNECTED_EVENTS) and found == sorted(found)
    assert missing(V1_EVENTS, [endpoint("*")]) == [
        event for event in CONNECTED_EVENTS if event.startswith("payout.")
    ]
    thin = {"enabled_events": list(THIN_EVENTS), "status": "enabled"}
    assert missing(THIN_EVENTS, [thin]) == list(THIN_EVENTS)
    assert not missing(THIN_EVENTS, [{**thin, "webhook_endpoint": {"url": f"http://x{PATH}"}}])

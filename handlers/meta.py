"""What a client needs to know before it asks: `GET /api/meta`, from what the server enforces."""

from datetime import timedelta
from typing import Any

import msgspec

from domain.accounts.challenges import LIFE as CHALLENGE_LIFE
from domain.accounts.sign_in import Register
from domain.accounts.step_up import LIFE as STEP_UP_LIFE
from domain.bidding.offers import Create as CreateOffer
from domain.chat.messages import EDITABLE
from domain.deals.offer import MAX_MILESTONES
from domain.files import file as files
from domain.files.file_names import TAKEN
from domain.jobs.saved_searches import MAX_SEARCHES
from domain.jobs.search import DEFAULT_RADIUS_KM
from domain.jobs.search import List as ListJobs
from domain.kernel.actor import PartyRole
from domain.kernel.errors import Rule
from domain.kernel.money import CURRENCIES, MAX_AMOUNT, least_withdrawal
from domain.kernel.paging import PAGE_BYTES
from domain.kernel.settings import Rates
from domain.notifications.feed import KEPT as PUSHES_KEPT
from domain.operations.field_types import FieldType, fields_of, type_at
from domain.operations.operation import Operation
from domain.payouts.countries import reachable
from domain.ports.sessions import ACCESS_LIFE, LONGEST_SESSION, MAX_SESSIONS, SESSION_LIFE
from handlers import CONTRACT_VERSION, NAMESPACES


def operations() -> dict[str, Operation]:
    return {
        exposed.operation.name: exposed.operation
        for namespace in NAMESPACES
        for exposed in namespace.exposed
    }


def meta(rates: Rates) -> dict[str, Any]:
    """The facts of the domain. Amounts are in minor units, lengths in characters or items, and
    times in seconds. The server adds its own."""
    return {
        "contract": CONTRACT_VERSION,
        "roles": [role.value for role in PartyRole],
        "money": _money(rates),
        "countries": reachable(rates),
        "pages": {
            "default": _default(ListJobs, "limit"),
            "max": type_at(ListJobs, "limit").limits[Rule.MAX],
            "max_bytes": PAGE_BYTES,
        },
        "offers": {
            "max_milestones": MAX_MILESTONES,
            "expires_in_hours": {
                "default": _default(CreateOffer, "expires_in_hours"),
                **_describe(type_at(CreateOffer, "expires_in_hours")),
            },
        },
        "jobs": {
            "auto_complete_days": rates.auto_complete_days,
            "max_saved_searches": MAX_SEARCHES,
            "default_radius_km": DEFAULT_RADIUS_KM,
        },
        "chat": {"editable_seconds": _seconds(EDITABLE)},
        "files": _files(),
        "accounts": _accounts(rates),
        "fields": fields(),
    }


def fields() -> dict[str, dict[str, Any]]:
    """The limits of every command's fields, by the rule that a refusal would name."""
    described = {
        name: {
            path: _describe(kind)
            for path, kind in fields_of(op.command)
            if kind.limits or kind.expected
        }
        for name, op in operations().items()
    }
    return {name: limits for name, limits in described.items() if limits}


def _describe(kind: FieldType) -> dict[str, Any]:
    description = {"description": kind.expected} if kind.expected else {}
    return {rule.value: limit for rule, limit in kind.limits.items()} | description


def _money(rates: Rates) -> dict[str, Any]:
    settled = [CURRENCIES[code] for code in rates.currencies]
    return {
        "currencies": [
            {
                "code": each.code,
                "exponent": each.exponent,
                "minimum": each.minimum,
                "step": each.step,
                "minimum_withdrawal": least_withdrawal(each.code, rates.minimum_withdrawal),
            }
            for each in settled
        ],
        "default_currency": rates.currencies[0],
        "max_amount": MAX_AMOUNT,
        "platform_fee_bps": rates.schedule.platform_bps,
        "service_fee_bps": rates.schedule.service_bps,
    }


def _files() -> dict[str, Any]:
    return {
        "types": TAKEN,
        "max_bytes": files.MAX_FILE,
        "max_attached": files.MAX_ATTACHED,
        "quota_bytes": files.MAX_BYTES,
        "quota_files": files.MAX_FILES,
        "attached_within_seconds": _seconds(files.ATTACHED_WITHIN),
        "ticket_seconds": _seconds(files.TICKET_LIFE),
    }


def _accounts(rates: Rates) -> dict[str, Any]:
    return {
        "verification_required": rates.require_verification,
        "password": _describe(type_at(Register, "password")),
        "max_sessions": MAX_SESSIONS,
        "access_token_seconds": _seconds(ACCESS_LIFE),
        "unused_session_seconds": _seconds(SESSION_LIFE),
        "longest_session_seconds": _seconds(LONGEST_SESSION),
        "challenge_seconds": _seconds(CHALLENGE_LIFE),
        "step_up_seconds": _seconds(STEP_UP_LIFE),
        "pushes_kept_seconds": _seconds(PUSHES_KEPT),
    }


def _default(command: type[msgspec.Struct], name: str) -> Any:
    return next(each.default for each in msgspec.structs.fields(command) if each.name == name)


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())

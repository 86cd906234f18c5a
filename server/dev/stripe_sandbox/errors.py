"""The refusals of Stripe's API, as exceptions that carry the whole answer."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class StripeError(Exception):
    """An error answer; `stored` says whether an idempotency key remembers it."""

    def __init__(
        self, status: int, kind: str, message: str, *, stored: bool = True, **fields: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.stored = stored
        self.fields: Json = {"type": kind, "message": message}
        self.fields.update({name: value for name, value in fields.items() if value is not None})

    @property
    def keeps_effect(self) -> bool:
        """A declined card leaves its failed charge behind; other refusals leave nothing."""
        return bool(self.fields["type"] == "card_error")

    @property
    def body(self) -> Json:
        """The error envelope."""
        fields = dict(self.fields)
        if "code" in fields:
            fields.setdefault("doc_url", f"https://stripe.com/docs/error-codes/{fields['code']}")
        return {"error": fields}


def refused(message: str, code: str | None = None, param: str | None = None) -> StripeError:
    """A well-formed request that the state does not allow."""
    return StripeError(400, "invalid_request_error", message, code=code, param=param)


def malformed(message: str, code: str | None = None, param: str | None = None) -> StripeError:
    """A request that fails validation before anything runs; its key stays free."""
    return StripeError(400, "invalid_request_error", message, code=code, param=param, stored=False)


def missing(param: str) -> StripeError:
    """A required parameter is absent."""
    return malformed(f"Missing required param: {param}.", "parameter_missing", param)


def unknown(param: str) -> StripeError:
    """A parameter that this endpoint does not take."""
    return malformed(f"Received unknown parameter: {param}", "parameter_unknown", param)


def no_such(kind: str, name: str, param: str, *, in_path: bool = True) -> StripeError:
    """An object that this account does not have: 404 in the path, 400 as a parameter."""
    status = 404 if in_path else 400
    return StripeError(
        status,
        "invalid_request_error",
        f"No such {kind}: '{name}'",
        code="resource_missing",
        param=param,
        stored=False,
    )


def unauthorized(message: str) -> StripeError:
    """No usable key."""
    return StripeError(401, "invalid_request_error", message, stored=False)


def declined(code: str, decline_code: str, message: str, **fields: Any) -> StripeError:
    """The card was refused."""
    return StripeError(
        402, "card_error", message, code=code, decline_code=decline_code or None, **fields
    )

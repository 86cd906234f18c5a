"""Errors of Stripe's API as exceptions that carry the whole answer."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class StripeError(Exception):
    """An error answer. `stored` says whether it is stored under the idempotency key."""

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
        """A declined card leaves its failed charge; other errors roll everything back."""
        return bool(self.fields["type"] == "card_error")

    @property
    def body(self) -> Json:
        """The error envelope."""
        fields = dict(self.fields)
        if "code" in fields:
            page = fields["code"].replace("_", "-")
            fields.setdefault("doc_url", f"https://stripe.com/docs/error-codes/{page}")
        return {"error": fields}

    @property
    def body_v2(self) -> Json:
        """The error envelope of the /v2 API, which has a code always, and no parameter."""
        fields = {name: self.fields[name] for name in ("type", "message")}
        fields["code"] = self.fields.get("code", self.fields["type"])
        if fields["code"] not in ("not_found", "invalid_fields", fields["type"]):
            fields["user_message"] = "This is not possible."
        return {"error": fields}


def refused(message: str, code: str | None = None, param: str | None = None) -> StripeError:
    """The error for a valid request that the object's state does not allow."""
    return StripeError(400, "invalid_request_error", message, code=code, param=param)


def malformed(message: str, code: str | None = None, param: str | None = None) -> StripeError:
    """The error for an invalid request. Its idempotency key stays unused."""
    return StripeError(400, "invalid_request_error", message, code=code, param=param, stored=False)


def missing(param: str) -> StripeError:
    """The error for an absent required parameter."""
    return malformed(f"Missing required param: {param}.", "parameter_missing", param)


def unknown(param: str) -> StripeError:
    """The error for a parameter that this endpoint does not take."""
    return malformed(f"Received unknown parameter: {param}", "parameter_unknown", param)


def no_such(kind: str, name: str, param: str, *, in_path: bool = True) -> StripeError:
    """The error for an unknown object: 404 in the path, 400 as a parameter."""
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
    """The error for a missing or wrong API key."""
    return StripeError(401, "invalid_request_error", message, stored=False)


def declined(code: str, decline_code: str, message: str, **fields: Any) -> StripeError:
    """The error for a declined card; `fields` are its advice, network codes and parameter."""
    return StripeError(
        402, "card_error", message, code=code, decline_code=decline_code or None, **fields
    )

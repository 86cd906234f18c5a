"""Uploaded files: evidence for disputes."""

from __future__ import annotations

from server.dev.stripe_sandbox.errors import Json, malformed
from server.dev.stripe_sandbox.parameters import PAGE, Required, Spec, one_of, text
from server.dev.stripe_sandbox.request_context import RequestContext
from server.dev.stripe_sandbox.store import new_id

CREATE: Spec = {
    "file": Required(text),
    "purpose": Required(one_of("dispute_evidence")),
}
LIST: Spec = {**PAGE, "purpose": text}
TYPES = {"jpg": "jpg", "jpeg": "jpg", "png": "png", "pdf": "pdf"}
MAX_BYTES = 5_000_000


def create(context: RequestContext) -> Json:
    """Store what an upload is. Raises malformed for a type or size that Stripe does not take."""
    described = (context.params["file"] or "").rsplit(" ", 2)
    if len(described) != 3:
        raise malformed("The file is not sent as multipart/form-data.", param="file")
    name, size = described[0], int(described[1])
    kind = TYPES.get(name.rpartition(".")[2].lower())
    if kind is None:
        raise malformed("Dispute evidence must be a PDF, JPEG or PNG file.", param="file")
    if not 0 < size <= MAX_BYTES:
        raise malformed("The file is empty or too large.", param="file")
    return context.add(
        {
            "id": new_id("file_1"),
            "object": "file",
            "created": context.now,
            "expires_at": None,
            "filename": name,
            "links": None,
            "purpose": context.params["purpose"],
            "size": size,
            "title": None,
            "type": kind,
            "url": None,
        }
    )


def retrieve(context: RequestContext, file_id: str) -> Json:
    """One file."""
    return context.get("file", file_id, "file")


def list_files(context: RequestContext) -> Json:
    """Files, newest first."""
    return context.page("file", "/v1/files", purpose=context.params.get("purpose"))

"""What the rules need from outside, as protocols; the composition root fills them in."""

from typing import Any, Protocol

import msgspec

from domain.kernel.outbox import Event
from domain.kernel.settings import Clock
from domain.kernel.store import Store
from domain.ports.blob_storage import BlobStorage, FileInspector
from domain.ports.mail import Mailer
from domain.ports.messaging import Members, MessageQueue
from domain.ports.payment_gateway import PaymentGateway, WebhookVerifier
from domain.ports.presence import Presence
from domain.ports.sessions import Passwords, Sessions, Tickets


class Seal(Protocol):
    """Keyed seals: only who has a key can make one that fits."""

    def sign(self, data: bytes) -> str: ...

    def fits(self, data: bytes, signature: str) -> bool: ...


class Waiter(Protocol):
    async def settled(self, subject: str, seconds: float = 10) -> bool:
        """Wait until no task about `subject` is under way here; False when time runs out first."""
        ...


class Gauges(Protocol):
    """Live figures of the processes, for the monitor."""

    async def sockets(self) -> int: ...


class Live(Protocol):
    """Whoever listens right now, on all processes; nothing said here is kept or repeated."""

    def tell(self, event: Event, data: Any, *, room: str) -> None:
        """Push to the sockets in `room` of the event's namespace; a user's is `user:{id}`."""
        ...


class Ports(msgspec.Struct, frozen=True):
    """Everything an operation or task may reach besides its unit of work."""

    store: Store
    clock: Clock
    sessions: Sessions
    passwords: Passwords
    gateway: PaymentGateway
    webhooks: WebhookVerifier
    waiter: Waiter
    gauges: Gauges
    live: Live
    presence: Presence
    members: Members
    messages: MessageQueue
    seal: Seal
    mail: Mailer
    blobs: BlobStorage
    examiner: FileInspector
    tickets: Tickets
    public_url: str

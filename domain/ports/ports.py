"""The ports: protocols of what the domain uses from outside. The composition root binds them."""

from typing import Any, Protocol

import msgspec

from domain.kernel.outbox import Event
from domain.kernel.settings import Clock, Demands
from domain.kernel.store import Store
from domain.ports.blob_storage import BlobStorage, FileInspector
from domain.ports.job_index import JobIndex
from domain.ports.mail import Mailer
from domain.ports.mailed_secrets import MailedSecrets
from domain.ports.messaging import Members, MessageQueue, ReachChange, Typing
from domain.ports.payment_gateway import PaymentGateway, WebhookVerifier
from domain.ports.presence import Presence
from domain.ports.second_factors import Challenges, Totp, WebAuthn
from domain.ports.sessions import Devices, Passwords, Sessions, Tickets
from domain.ports.step_up import StepUp


class Seal(Protocol):
    """Keyed signatures (HMAC), which only the holder of a key can create."""

    def sign(self, data: bytes) -> str: ...

    def fits(self, data: bytes, signature: str) -> bool: ...


class TaskWaiter(Protocol):
    async def settled(self, subject: str, seconds: float = 10) -> bool:
        """Wait until this process runs no task about `subject`; False after `seconds`."""
        ...


class Gauges(Protocol):
    """Live figures of all processes, for the monitor."""

    async def sockets(self) -> int: ...


class LivePush(Protocol):
    """Ephemeral pushes to the connections of all processes. Nothing is stored or repeated."""

    def push(self, event: Event, data: Any, *, room: str) -> None:
        """Push to the connections in `room` of the event's namespace; see `kernel/rooms.py`."""
        ...

    def announce_reach(self, change: ReachChange) -> None:
        """Let all processes forget what they know of these conversations. The subscriptions of two
        who may no longer reach each other to the other's presence end."""
        ...


class Ports(msgspec.Struct, frozen=True):
    """Everything that an operation or task may use besides its unit of work."""

    store: Store
    clock: Clock
    sessions: Sessions
    passwords: Passwords
    gateway: PaymentGateway
    webhooks: WebhookVerifier
    waiter: TaskWaiter
    gauges: Gauges
    live: LivePush
    presence: Presence
    members: Members
    typing: Typing
    messages: MessageQueue
    job_index: JobIndex
    seal: Seal
    mail: Mailer
    mailed_secrets: MailedSecrets
    blobs: BlobStorage
    examiner: FileInspector
    tickets: Tickets
    challenges: Challenges
    totp: Totp
    webauthn: WebAuthn
    step_up: StepUp
    demands: Demands
    devices: Devices
    public_url: str

"""What both documents tell before the operations: the way of a job, payments, connections."""

from datetime import timedelta

from domain.notifications.feed import KEPT
from domain.ports.sessions import ACCESS_LIFE, REFRESH_REPEATED

JOB = """\
## A job from posting to payout

1. `account.register` or `account.login`, then connect the sockets. Where `register` answers that
   the address must be verified, the first `login` takes the code of the mail as `verification`.
2. The customer posts by `job.create`. All contractors get `job.updated`.
3. A contractor applies by `job-request.apply`. The customer gets `application.created`.
4. The customer may shortlist by `job-request.accept` (the contractor gets `application.updated`),
   and both may talk: `chat.open`, `chat.send`, and `message` at both.
5. The customer makes an offer by `bidding.create`. Once its money is held, both get
   `offer.created`.
6. The contractor takes it by `bidding.accept`. Once the money is captured, both get
   `offer.accepted` and `job.updated`: the job is assigned.
7. The contractor begins by `job.start` and hands over by `job.deliver`. Both get `job.updated`,
   and `offer.updated` with the milestones.
8. The customer approves by `job.complete`. Both get `job.updated`, and the contractor
   `wallet.updated`: the money is `pending`, and `available` when it has arrived.
9. The contractor opens the `url` of `account.onboard` in a browser and gives Stripe their data,
   before or after all this: money stays `pending` until then. `account.updated` with
   `payouts_enabled` ends it.
10. The contractor takes it out by `wallet.withdraw`. `withdrawal.updated` says when it is `paid`.
"""
PAYMENTS = """\
## Payments

An offer holds its money when it is made. With a `payment_method`, an `id` of `payment.methods`,
that may need nothing more. If the `payment` in the answer of `bidding.create` is
`requires_payment`, the customer has to confirm it: Stripe.js or one of Stripe's mobile SDKs takes
its `client_secret` and the `payments.stripe_publishable_key` of `GET /api/meta`, or a browser opens
its `redirect_url`. Then `payment.confirm` reads the outcome, and `payment.updated` and
`offer.created` or `offer.failed` say it. `payment.setup` answers the `client_secret` of a
SetupIntent: confirmed in the same way, it saves a method.

Where Stripe is in test mode, its public test ids are methods that need no browser: `pm_card_visa`
is paid, `pm_card_chargeDeclined` fails, `pm_card_threeDSecure2Required` has to be confirmed.
"""
CONNECTED = f"""\
## Staying connected

Pushes come to all connections of a user, also to the one whose command caused them. Nothing has
to be joined but what `x-joins` marks: `job.watch`, `chat.presence` and `admin.live`, again after
each connect. A connection gets the pushes of the namespaces that it has connected. `/account`
should be one of them, for `head`, `resync` and `session.revoked`.

An access token is valid for {ACCESS_LIFE // timedelta(minutes=1)} minutes, until `expires_at`. \
`account.refresh`, on a socket or over
HTTP, answers a new pair before that. All open connections of the session then stay until the new
`expires_at`: there is no need to connect again. A refresh token works once. It may be repeated for
{REFRESH_REPEATED.seconds} seconds; used later, it ends the session.

Without that the server disconnects all namespaces at `expires_at`, in any order, and `/account`
gets `session.revoked` before; likewise when the session has ended. Libraries of Socket.IO do not
connect again by themselves after a disconnect by the server: get a new token and connect. After a
lost connection or a restart of the server they do, so let `auth` be a function that gives the
newest token.

Ask `account.sync` with the highest `seq` that the client has, until the last item has the number
`head`: after each connect, after a gap in `seq`, after `resync`, and when `head` pushes a higher
number. Ask
`chat.sync` for conversations, with the highest `seq` and `revision` of each. The feed is kept for
{KEPT.days} days. After `too_old` read all lists again, and go on from `head` in its `details`. An \
answer and a
push may come in any order, and so may pushes about different objects: keep the highest `version`
of each.
"""
GENERATORS = """\
## Generated clients

Enumerations are open: treat a value that you do not know as some other one. Answers and pushes are
open, too (`additionalProperties: true`). Generators of typed clients may need to be told so:
openapi-generator for Java by `enumUnknownDefaultCase=true` and
`disallowAdditionalPropertiesIfNotPresent=false`. Integers without a small maximum are `int64`. In
`/api/asyncapi.json` each push is a schema, such as `PushJobUpdated`.
"""
SECTIONS = "\n".join((JOB, PAYMENTS, CONNECTED, GENERATORS))

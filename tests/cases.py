"""Valid fields of every operation, and what a stranger of an allowed role gets to see."""

from typing import NamedTuple

from tests.parties import Json

NOT_FOUND, NOTHING, OWN, ALL = "not_found", "nothing", "own", "all"


class Case(NamedTuple):
    """Valid fields, and what a stranger of an allowed role gets to see: an error code, NOTHING (an
    empty list), OWN (only what is the caller's own, whoever calls) or ALL (it is public)."""

    fields: str
    stranger: str


# The names of the fields; their values are in `built`.
CASES = {
    "account.register": Case("email password name role", OWN),
    "account.login": Case("email password", OWN),
    "account.refresh": Case("refresh_token", OWN),
    "account.me": Case("", OWN),
    "account.update": Case(
        "name headline bio skills mail_notices show_presence show_receipts", OWN
    ),
    "account.logout": Case("", OWN),
    "account.sessions": Case("", OWN),
    "account.revoke": Case("session_id", NOT_FOUND),
    "account.onboard": Case("country", OWN),
    "account.delete": Case("password", OWN),
    "account.sync": Case("since limit", OWN),
    "account.seen": Case("seq", OWN),
    "job.create": Case(
        "title description category budget_min_amount budget_max_amount currency skills location",
        OWN,
    ),
    "job.list": Case("q category skills near radius_km budget status sort cursor limit", NOTHING),
    "job.mine": Case("status cursor limit", NOTHING),
    "job.get": Case("job_id", NOT_FOUND),
    "job.update": Case(
        "job_id title description category budget_min_amount budget_max_amount currency skills "
        "location",
        NOT_FOUND,
    ),
    "job.start": Case("job_id", NOT_FOUND),
    "job.deliver": Case("job_id note file_ids milestone", NOT_FOUND),
    "job.complete": Case("job_id milestone", NOT_FOUND),
    "job.cancel": Case("job_id", NOT_FOUND),
    "job.watch": Case("job_id", NOT_FOUND),
    "job.unwatch": Case("job_id", OWN),
    "job.search_save": Case("name q category skills near radius_km budget", OWN),
    "job.search_unsave": Case("search_id", NOT_FOUND),
    "job.searches": Case("", NOTHING),
    "job-request.apply": Case("job_id cover_letter proposed_amount timeline_days", "job_not_open"),
    "job-request.list": Case("job_id status cursor limit", NOT_FOUND),
    "job-request.mine": Case("status cursor limit", NOTHING),
    "job-request.get": Case("application_id", NOT_FOUND),
    "job-request.withdraw": Case("application_id", NOT_FOUND),
    "job-request.accept": Case("application_id", NOT_FOUND),
    "job-request.reject": Case("application_id", NOT_FOUND),
    "chat.open": Case("job_id user_id", NOT_FOUND),
    "chat.list": Case("cursor limit", NOTHING),
    "chat.send": Case("conversation_id text client_id reply_to file_ids", NOT_FOUND),
    "chat.history": Case("conversation_id before_seq after_seq limit", NOT_FOUND),
    "chat.read": Case("conversation_id seq", NOT_FOUND),
    "chat.sync": Case("conversations revisions", NOT_FOUND),
    "chat.edit": Case("conversation_id message_id text", NOT_FOUND),
    "chat.delete": Case("conversation_id message_id", NOT_FOUND),
    "chat.react": Case("conversation_id message_id emoji on", NOT_FOUND),
    "chat.block": Case("conversation_id on", NOT_FOUND),
    "chat.report": Case("conversation_id message_id reason text", NOT_FOUND),
    "chat.search": Case("q conversation_id cursor limit", NOTHING),
    "chat.typing": Case("conversation_id typing", NOT_FOUND),
    "chat.presence": Case("conversation_ids", NOT_FOUND),
    "bidding.create": Case(
        "job_id contractor_id amount currency description timeline_days milestones "
        "payment_method expires_in_hours",
        NOT_FOUND,
    ),
    "bidding.list": Case("job_id thread_id status cursor limit", NOTHING),
    "bidding.get": Case("offer_id", NOT_FOUND),
    "bidding.withdraw": Case("offer_id", NOT_FOUND),
    "bidding.accept": Case("offer_id", NOT_FOUND),
    "bidding.reject": Case("offer_id", NOT_FOUND),
    "bidding.counter": Case("offer_id amount note", NOT_FOUND),
    "payment.list": Case("status cursor limit", NOTHING),
    "payment.get": Case("payment_id", NOT_FOUND),
    "payment.confirm": Case("payment_id", NOT_FOUND),
    "payment.setup": Case("", OWN),
    "payment.methods": Case("", OWN),
    "payment.detach": Case("method_id", NOT_FOUND),
    "payment.chargebacks": Case("status cursor limit", NOTHING),
    "payment.disputes": Case("job_id status cursor limit", NOTHING),
    "payment.dispute": Case("dispute_id", NOT_FOUND),
    "payment.dispute_open": Case("job_id reason text milestone", NOT_FOUND),
    "payment.dispute_say": Case("dispute_id text", NOT_FOUND),
    "payment.dispute_evidence": Case("dispute_id text file_ids", NOT_FOUND),
    "payment.dispute_propose": Case("dispute_id refund_amount text", NOT_FOUND),
    "payment.dispute_agree": Case("dispute_id refund_amount", NOT_FOUND),
    "payment.dispute_escalate": Case("dispute_id", NOT_FOUND),
    "wallet.balance": Case("", OWN),
    "wallet.history": Case("cursor limit", NOTHING),
    "wallet.statement": Case("start end currency", NOTHING),
    "wallet.withdraw": Case("amount currency", "not_onboarded"),
    "wallet.withdrawals": Case("cursor limit", NOTHING),
    "files.upload": Case("", OWN),
    "files.get": Case("file_id size", NOT_FOUND),
    "files.ticket": Case("file_id", NOT_FOUND),
    "admin.overview": Case("", ALL),
    "admin.live": Case("", ALL),
    "admin.audit": Case("actor_id operation subject since cursor limit", ALL),
    "admin.dead_letters": Case("lane cursor limit", ALL),
    "admin.reconcile": Case("start end", ALL),
    "admin.reconciliations": Case("cursor limit", ALL),
    "admin.retry": Case("row_id", ALL),
    "admin.discard": Case("row_id reason", ALL),
    "admin.webhook_events": Case("status type cursor limit", ALL),
    "admin.replay": Case("event_id", ALL),
    "admin.disputes": Case("job_id status cursor limit", ALL),
    "admin.conversation": Case("dispute_id before_seq after_seq limit", ALL),
    "admin.reports": Case("user_id cursor limit", ALL),
    "admin.resolve": Case("dispute_id refund_amount reason", ALL),
    "admin.evidence": Case(
        "chargeback_id product_description service_date refund_refusal_explanation "
        "uncategorized_text submit",
        ALL,
    ),
    "admin.transfers": Case("user_id status cursor limit", ALL),
    "admin.release": Case("transfer_id reason", ALL),
    "admin.refund": Case("payment_id reason amount", ALL),
    "admin.freeze": Case("user_id reason", ALL),
    "admin.unfreeze": Case("user_id reason", ALL),
    "admin.adjust": Case("user_id amount currency reason account", ALL),
    "admin.ban": Case("user_id reason", ALL),
    "admin.unban": Case("user_id", ALL),
    "admin.users": Case("q role state cursor limit", ALL),
    "admin.payments": Case("status customer_id contractor_id since cursor limit", ALL),
    "admin.wallets": Case("user_id currency kind nonzero cursor limit", ALL),
    "admin.transactions": Case("user_id offer_id kind fact cursor limit", ALL),
    "admin.commissions": Case("start end bucket currency", ALL),
}

VALUES: Json = {
    "email": "nobody@people.test", "password": "correct horse battery", "name": "Nobody",
    "role": "customer", "headline": "Painter", "bio": "Since 1999.", "since": 0, "limit": 20,
    "seq": 1, "title": "Paint the fence", "description": "Two coats.", "category": "painting",
    "skills": ["painting"], "budget_min_amount": 1, "budget_max_amount": 2, "currency": "USD",
    "location": {"lon": 8.5, "lat": 47.4, "label": "Zurich"}, "near": {"lon": 8.5, "lat": 47.4},
    "radius_km": 10, "budget": {"min_amount": 1}, "sort": "newest", "note": "Done.",
    "cover_letter": "I can.", "proposed_amount": 100, "timeline_days": 3, "text": "Hello",
    "client_id": "c1", "before_seq": 9, "after_seq": 0, "amount": 1000, "q": "fence",
    "country": "US", "milestone": 1, "milestones": [{"title": "All", "amount": 1000}],
    "actor_id": "usr_1", "operation": "job.create", "subject": "job_1", "row_id": "out_1",
    "event_id": "evt_1", "type": "charge.refunded", "lane": "stripe",
    "method_id": "pm_1none", "refund_amount": 0, "reason": "quality", "product_description": "A.",
    "service_date": "2026-01-31", "refund_refusal_explanation": "Done.", "submit": False,
    "uncategorized_text": "As agreed.", "account": "platform",
    "payment_method": "pm_card_visa", "expires_in_hours": 10, "state": "banned",
    "customer_id": "usr_none", "kind": "wallet", "nonzero": True, "fact": "capture:pay_none",
    "bucket": "day", "file_ids": [], "size": "thumb", "mail_notices": True,
    "show_presence": True, "show_receipts": True, "typing": True, "emoji": "👍", "on": True,
}  # fmt: skip
PATTERNED = {"email", "currency", "payment_method", "country", "method_id"}
STATUS = {"job.list": "in_progress", "job.mine": "in_progress", "bidding.list": "accepted",
          "job-request.list": "accepted", "job-request.mine": "accepted",
          "payment.list": "captured", "payment.chargebacks": "open", "payment.disputes": "open",
          "admin.disputes": "open", "admin.webhook_events": "done", "admin.transfers": "available",
          "admin.payments": "captured"}  # fmt: skip
SPECIAL = {
    "admin.payments": {"since": "2026-01-31T00:00:00Z"},
    "admin.audit": {"since": "2026-01-31T00:00:00Z"},
    "chat.search": {"q": "hello"},
    "chat.report": {"reason": "abuse"},
    "chat.send": {"text": "Hello?"},
}  # other values of the same names

"""/payment: the money behind offers."""

from domain import payments
from handlers.expose import Namespace

payment = Namespace("/payment")

payment.expose(payments.list_payments, http="GET /api/payment")
payment.expose(payments.get, http="GET /api/payment/{payment_id}")
payment.expose(payments.confirm, http="POST /api/payment/{payment_id}/confirm")

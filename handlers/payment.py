"""/payment: payments, saved payment methods, disputes and chargebacks."""

from domain.deals import chargeback
from domain.deals.payment import PAYMENT_UPDATED
from domain.disputes import chargebacks, dispute
from domain.disputes import operations as disputes
from domain.payments import operations as payments
from domain.payments import payment_methods, receipts
from handlers.expose import Namespace

payment = Namespace("/payment")

# Fixed paths come before `{payment_id}`, which would match them as well.
payment.expose(payments.list_payments, http="GET /api/payment")
payment.expose(payment_methods.setup, http="POST /api/payment/setup")
payment.expose(payment_methods.methods, http="GET /api/payment/methods")
payment.expose(payment_methods.default, http="POST /api/payment/methods/{method_id}/default")
payment.expose(payment_methods.detach, http="DELETE /api/payment/methods/{method_id}")
payment.expose(chargebacks.list_, http="GET /api/payment/chargebacks")
payment.expose(disputes.list_disputes, http="GET /api/payment/disputes")
payment.expose(disputes.dispute_open, http="POST /api/payment/disputes")
payment.expose(disputes.get, http="GET /api/payment/disputes/{dispute_id}")
payment.expose(disputes.entries, http="GET /api/payment/disputes/{dispute_id}/entries")
payment.expose(disputes.dispute_say, http="POST /api/payment/disputes/{dispute_id}/say")
payment.expose(disputes.dispute_evidence, http="POST /api/payment/disputes/{dispute_id}/evidence")
payment.expose(disputes.dispute_propose, http="POST /api/payment/disputes/{dispute_id}/propose")
payment.expose(disputes.dispute_agree, http="POST /api/payment/disputes/{dispute_id}/agree")
payment.expose(disputes.dispute_escalate, http="POST /api/payment/disputes/{dispute_id}/escalate")
payment.expose(payments.get, http="GET /api/payment/{payment_id}")
payment.expose(receipts.receipt, http="GET /api/payment/{payment_id}/receipt")
payment.expose(payments.confirm, http="POST /api/payment/{payment_id}/confirm")

payment.pushes = (PAYMENT_UPDATED, dispute.UPDATED, chargeback.UPDATED)

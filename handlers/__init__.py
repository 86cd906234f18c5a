"""The wire contract: one file for each namespace, and the list of all namespaces."""

from handlers.account import account
from handlers.admin import admin
from handlers.bidding import bidding
from handlers.chat import chat
from handlers.files import file
from handlers.job import job
from handlers.job_request import job_request
from handlers.payment import payment
from handlers.wallet import wallet

CONTRACT_VERSION = "1.1.0"  # of commands, pushes and paths; a new major one breaks clients
NAMESPACES = (account, job, job_request, chat, bidding, payment, wallet, admin, file)

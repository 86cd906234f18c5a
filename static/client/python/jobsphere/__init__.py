"""A client of JobSphere servers: typed commands and pushes, for bots and tests. See README.md."""

from jobsphere.client import Client
from jobsphere.pushes import Push, Subscription
from jobsphere.refusals import Missed, NoAnswer, Refusal

__all__ = ["Client", "Missed", "NoAnswer", "Push", "Refusal", "Subscription"]

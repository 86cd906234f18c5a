"""What many tests share: clients, servers, samples, and the harness of the Stripe sandbox."""

import pytest

pytest.register_assert_rewrite("tests.support.job_in_progress", "tests.support.negotiation")

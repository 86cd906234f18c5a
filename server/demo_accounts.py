"""The demo accounts of a dev server; production processes refuse to run with them."""

from domain.kernel.actor import Role

DEMO_EMAILS = (
    "customer@demo.test",
    "contractor@demo.test",
    "contractor2@demo.test",
    "admin@demo.test",
)
DEMO_PASSWORD = "demo-jobsphere"
DEMO_ACCOUNTS = dict(
    zip(
        DEMO_EMAILS,
        (
            ("Carla Customer", Role.CUSTOMER),
            ("Colin Contractor", Role.CONTRACTOR),
            ("Connie Contractor", Role.CONTRACTOR),
            ("Ada Admin", Role.ADMIN),
        ),
        strict=True,
    )
)

"""A stateful stand-in for the part of Stripe's HTTP API that JobSphere calls."""

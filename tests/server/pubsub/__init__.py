"""Tests of `server/pubsub`."""

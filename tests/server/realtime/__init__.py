"""Tests of `server/realtime`."""

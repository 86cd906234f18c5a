"""Tests of `domain/chat`."""

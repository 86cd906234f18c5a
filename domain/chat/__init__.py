"""Conversations between a customer and a contractor: messages, read receipts, blocks and
reports."""

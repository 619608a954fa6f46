"""Decisions of the Message Server: pure, no IO, no clock."""

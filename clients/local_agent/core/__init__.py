"""Decisions of the Local Control Agent: pure, no IO, no clock."""

"""Decisions of Solution Control: pure, no IO, no clock."""

"""The local launcher: a whole cluster on one machine, for people, for the demo and for tests."""

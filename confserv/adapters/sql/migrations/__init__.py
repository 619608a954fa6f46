"""Alembic's migrations of the Configuration Database; they run offline, by `confserv -upgrade`, or in an
empty one."""

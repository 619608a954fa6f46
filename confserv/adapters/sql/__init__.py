"""The Configuration Database in SQLite and PostgreSQL, by SQLAlchemy Core."""

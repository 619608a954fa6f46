"""Where the Message Server keeps events: SQL and memory."""

"""The client library: what an application links to read its configuration, report use and log events."""

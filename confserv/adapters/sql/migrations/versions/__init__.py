"""One module a migration; a name that sorts, and what it changes."""

"""The embedded stack: PostgreSQL, broker and service processes, started and stopped."""

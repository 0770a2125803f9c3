"""Lines that are appended to files."""

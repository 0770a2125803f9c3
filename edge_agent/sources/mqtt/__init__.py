"""Topics of another broker, e.g. the one of a home."""

"""From publish to committed rows, measured against a raw COPY and a subscriber that only acknowledges."""

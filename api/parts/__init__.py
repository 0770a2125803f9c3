"""Parts: the catalogue."""

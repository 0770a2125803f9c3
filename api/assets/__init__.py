"""Product models and assets."""

"""Kits taken apart and put together in a warehouse."""

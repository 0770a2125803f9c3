"""Warranty terms, and whether an asset is covered on a day."""

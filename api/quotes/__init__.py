"""Quotes: price lists, what work costs whom, consent to it, charges within it, and records of payments."""

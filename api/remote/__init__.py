"""Agents from afar: what they report, how they should be configured, and what they are told to do."""

"""Tickets: the cases of assets, their states and their history."""

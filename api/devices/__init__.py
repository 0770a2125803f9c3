"""Devices: how they get an identity, and what each may reach on the broker."""

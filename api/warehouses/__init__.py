"""Warehouses: whose they are, where what lies in them, when they are open, and the ways between them."""

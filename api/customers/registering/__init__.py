"""Customers and sites by the thousand, as a sheet tells them."""

"""Customers: people and organisations, their sites, contacts and wishes, and their right to be forgotten."""

"""Customers: people and organisations, their sites, contacts, and what they allow."""

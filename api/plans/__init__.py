"""Maintenance plans: what is due on every asset of a model, and how often."""

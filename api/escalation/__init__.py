"""Escalations: who hears of a case that runs late or comes back, step by step until somebody decides."""

"""Maintenance plans and open tickets become jobs with parts, people and appointments, through the API."""

"""Visits: from the appointment over what is done on site to the completion report."""

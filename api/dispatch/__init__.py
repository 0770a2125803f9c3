"""Technicians, jobs and visits: who goes where, when, with which parts."""

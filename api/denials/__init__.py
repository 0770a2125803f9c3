"""Refusals of warranty, with what the machine itself said about its use frozen beside them."""

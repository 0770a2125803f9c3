"""The right to know what is kept about oneself, and to be forgotten."""

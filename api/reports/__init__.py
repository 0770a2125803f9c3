"""What went wrong how often, how long things last, and what was seen coming."""

"""Service levels: business calendars, what is promised to whom, and the clocks that run for each case."""

"""`careloop storage`: how much is stored, in which shape, and how long there is room."""

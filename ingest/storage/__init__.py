"""How long what is stored is kept, and in which shape."""

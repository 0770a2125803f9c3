"""How fast the service desk answers over a database of the size of a large maker's."""

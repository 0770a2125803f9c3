"""A fleet of machines that wear out: tables of kinds, one physics engine. Standard library only."""

"""Everything that happened to an asset, in one list."""

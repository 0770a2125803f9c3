"""Cover on top of the maker's warranty: extension cards and plans that are bought, extensions that the desk grants."""

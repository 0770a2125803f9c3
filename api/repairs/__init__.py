"""Mail-in repair: a machine's way through the workshop, what the customer is told, and what it costs the maker."""

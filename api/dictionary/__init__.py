"""The dictionary of metrics: what each product model declares, what its machines send, and what waits for review."""

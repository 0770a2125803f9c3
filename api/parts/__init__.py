"""Parts, warehouses, stock, and parts kept for jobs."""

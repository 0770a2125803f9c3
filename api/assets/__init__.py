"""Product models, customers, sites and assets."""

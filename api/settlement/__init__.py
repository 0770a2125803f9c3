"""Settlement: what partners are paid for their visits, on monthly statements."""

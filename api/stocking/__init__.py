"""What to keep where: forecasts of demand, proposals of levels, transfers and purchases, and stock that nobody uses."""

"""Parts with serial numbers of their own: in stock, in a machine, out at repair, back, scrapped."""

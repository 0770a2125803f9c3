"""Rate cards: what partners are paid by, and what one would have paid."""

"""The ledger of stock: every piece that moves, from where to where and why."""

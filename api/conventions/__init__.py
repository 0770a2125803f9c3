"""What every endpoint does alike: problems, transactions, idempotency, pages, entity tags, time."""

-- name: claim_duty
-- One process at a time does a duty; the lock ends with the transaction.
SELECT pg_try_advisory_xact_lock(7266, hashtext(%(name)s)) AS mine

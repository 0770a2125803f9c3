-- name: count_outbox
-- Of what was not sent, by state; for how many seconds the first of them has been due, below 0 when it is not yet.
SELECT state,
       count(*) AS alerts,
       extract(epoch FROM now() - min(next_attempt_at))::float8 AS due_for_s
FROM service.alert
WHERE state IN ('pending', 'sending', 'unconfirmed', 'dead')
GROUP BY state

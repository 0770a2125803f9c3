-- name: insert_alerts
-- When an alert falls due is real time, also in a replay of the past: an alert may be delivered as soon as its cause commits.
INSERT INTO service.alert (target_id, topic, cause, asset_id, subject, body, payload, next_attempt_at, created_at)
SELECT target_id, %(topic)s, %(cause)s, %(asset_id)s, %(subject)s, %(body)s, %(payload)s, now(), %(now)s
FROM service.alert_target
WHERE active AND topics && ARRAY[%(topic)s::text, '*']
ON CONFLICT (cause, target_id) DO NOTHING

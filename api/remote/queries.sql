-- name: list_agents
-- A gateway's machines have states of their own, which name it; they are no agents.
SELECT s.agent_id, s.online, s.agent_version AS version, coalesce(r.config_version, 0) AS config_version,
       coalesce(r.config_hash, '') AS config_hash, greatest(r.seen_at, s.changed_at) AS last_seen, s.detail
FROM telemetry.agent_state s
LEFT JOIN telemetry.agent_report r USING (agent_id)
WHERE s.agent_id > %(after_name)s AND NOT s.detail ? 'gateway'
  AND (%(online)s::boolean IS NULL OR s.online = %(online)s)
  -- Who sees a part only sees the agents that are machines of that part.
  AND (NOT %(scoped)s::boolean OR EXISTS (SELECT FROM service.asset a WHERE a.serial = s.agent_id))
ORDER BY s.agent_id
LIMIT %(fetch)s

-- name: get_agent
SELECT s.agent_id, s.online, s.agent_version AS version, coalesce(r.config_version, 0) AS config_version,
       coalesce(r.config_hash, '') AS config_hash, greatest(r.seen_at, s.changed_at) AS last_seen, s.detail
FROM telemetry.agent_state s
LEFT JOIN telemetry.agent_report r USING (agent_id)
WHERE s.agent_id = %(agent_id)s AND NOT s.detail ? 'gateway'

-- name: is_seen
SELECT FROM service.asset WHERE serial = %(agent_id)s

-- name: is_known
-- It has connected, or is an asset that may.
SELECT EXISTS (SELECT FROM telemetry.agent_state WHERE agent_id = %(agent_id)s AND NOT detail ? 'gateway')
    OR EXISTS (SELECT FROM service.asset WHERE serial = %(agent_id)s) AS known

-- name: get_config
SELECT c.agent_id, c.version, c.settings, c.hash, c.changed_at, c.changed_by,
       CASE WHEN r.config_version = c.version THEN r.config_status ELSE 'pending' END AS state,
       CASE WHEN d.version = c.version THEN d.sent_at END AS sent_at,
       CASE WHEN r.agent_id IS NOT NULL THEN jsonb_build_object(
           'version', r.config_version, 'status', r.config_status, 'proved', r.config_proved,
           'reason', r.config_reason, 'hash', r.config_hash, 'since', r.config_since) END AS reported
FROM service.agent_config c
LEFT JOIN telemetry.agent_report r USING (agent_id)
LEFT JOIN telemetry.config_delivery d USING (agent_id)
WHERE c.agent_id = %(agent_id)s

-- name: insert_config
INSERT INTO service.agent_config (agent_id, settings, hash, changed_at, changed_by)
VALUES (%(agent_id)s, %(settings)s, %(hash)s, %(now)s, %(actor)s)
ON CONFLICT (agent_id) DO NOTHING
RETURNING version

-- name: change_config
UPDATE service.agent_config
SET settings = %(settings)s, hash = %(hash)s, changed_at = %(now)s, changed_by = %(actor)s, version = version + 1
WHERE agent_id = %(agent_id)s AND version = %(version)s
RETURNING version

-- name: wake_downlink
-- Heard when this transaction commits.
SELECT pg_notify('careloop_downlink', '')

-- name: insert_command
INSERT INTO service.agent_command (agent_id, kind, arguments, issued_at, issued_by, expires_at)
VALUES (%(agent_id)s, %(kind)s, %(arguments)s, %(now)s, %(actor)s, %(expires_at)s)
RETURNING command_id

-- name: list_commands
SELECT c.number, c.command_id, c.agent_id, c.kind, c.arguments, c.issued_at, c.issued_by, c.expires_at,
       CASE WHEN r.command_id IS NOT NULL THEN r.status
            WHEN c.expires_at <= %(now)s THEN 'expired'
            WHEN d.sent_at IS NOT NULL THEN 'sent'
            ELSE 'queued' END AS state,
       d.sent_at, r.finished_at, coalesce(r.reason, '') AS reason
FROM service.agent_command c
LEFT JOIN telemetry.command_delivery d USING (command_id)
LEFT JOIN telemetry.command_result r ON r.command_id = c.command_id AND r.agent_id = c.agent_id
WHERE c.agent_id = %(agent_id)s AND c.number > %(after_id)s
ORDER BY c.number
LIMIT %(fetch)s

-- name: get_command
SELECT c.command_id, c.agent_id, c.kind, c.arguments, c.issued_at, c.issued_by, c.expires_at,
       CASE WHEN r.command_id IS NOT NULL THEN r.status
            WHEN c.expires_at <= %(now)s THEN 'expired'
            WHEN d.sent_at IS NOT NULL THEN 'sent'
            ELSE 'queued' END AS state,
       d.sent_at, r.finished_at, coalesce(r.reason, '') AS reason, coalesce(r.output, '{}') AS output
FROM service.agent_command c
LEFT JOIN telemetry.command_delivery d USING (command_id)
LEFT JOIN telemetry.command_result r ON r.command_id = c.command_id AND r.agent_id = c.agent_id
WHERE c.agent_id = %(agent_id)s AND c.command_id = %(command_id)s

-- name: lead_downlink
SELECT pg_try_advisory_lock(7266, 7) AS leads;

-- name: listen_downlink
LISTEN careloop_downlink;

-- name: find_configs_due
-- Those that their agent has not reported; again after a pause that doubles.
SELECT c.agent_id, c.version, c.settings, c.hash
FROM telemetry.desired_config c
LEFT JOIN telemetry.config_delivery d ON d.agent_id = c.agent_id AND d.version = c.version
LEFT JOIN telemetry.agent_report r ON r.agent_id = c.agent_id
WHERE r.config_version IS DISTINCT FROM c.version
  AND (d.agent_id IS NULL
       OR d.tried_at + least(%(retry)s::interval * 2.0 ^ least(d.attempts - 1, 20), interval '1 hour') <= %(now)s)
ORDER BY c.agent_id
LIMIT %(most)s;

-- name: find_commands_due
SELECT c.command_id, c.agent_id, c.kind, c.arguments, c.expires_at
FROM telemetry.issued_command c
LEFT JOIN telemetry.command_delivery d USING (command_id)
WHERE c.expires_at > %(now)s
  AND (d.command_id IS NULL
       OR d.tried_at + least(%(retry)s::interval * 2.0 ^ least(d.attempts - 1, 20), interval '15 minutes') <= %(now)s)
  AND NOT EXISTS (SELECT FROM telemetry.command_result r WHERE r.command_id = c.command_id)
ORDER BY c.number
LIMIT %(most)s;

-- name: note_config_tried
INSERT INTO telemetry.config_delivery AS d (agent_id, version, attempts, tried_at, sent_at)
VALUES (%(agent_id)s, %(version)s, 1, %(now)s::timestamptz, CASE WHEN %(taken)s::boolean THEN %(now)s::timestamptz END)
ON CONFLICT (agent_id) DO UPDATE
SET attempts = CASE WHEN d.version = excluded.version THEN d.attempts + 1 ELSE 1 END,
    sent_at = CASE WHEN d.version = excluded.version THEN coalesce(d.sent_at, excluded.sent_at) ELSE excluded.sent_at END,
    version = excluded.version, tried_at = excluded.tried_at;

-- name: note_command_tried
INSERT INTO telemetry.command_delivery AS d (command_id, attempts, tried_at, sent_at)
VALUES (%(command_id)s, 1, %(now)s::timestamptz, CASE WHEN %(taken)s::boolean THEN %(now)s::timestamptz END)
ON CONFLICT (command_id) DO UPDATE
SET attempts = d.attempts + 1, tried_at = excluded.tried_at, sent_at = coalesce(d.sent_at, excluded.sent_at);

-- name: see_agents
-- A last will, and a state that the broker had kept, tell nothing of when the agent was there.
INSERT INTO telemetry.agent_report AS r (agent_id, seen_at, config_since)
SELECT agent_id, seen_at, seen_at
FROM unnest(%(agent_ids)s::text[], %(seen_at)s::timestamptz[]) AS said (agent_id, seen_at)
ON CONFLICT (agent_id) DO UPDATE
SET seen_at = excluded.seen_at
WHERE r.seen_at < excluded.seen_at AND r.agent_id = ANY(%(online_ids)s::text[]);

-- name: set_config_reports
UPDATE telemetry.agent_report r
SET config_version = version, config_status = status, config_reason = reason, config_hash = hash,
    config_proved = proved, config_since = reported_at
FROM unnest(%(agent_ids)s::text[], %(reported_at)s::timestamptz[], %(versions)s::integer[], %(statuses)s::text[],
            %(reasons)s::text[], %(hashes)s::text[], %(proved)s::boolean[])
     AS said (agent_id, reported_at, version, status, reason, hash, proved)
WHERE r.agent_id = said.agent_id
  AND (r.config_version, r.config_status, r.config_reason, r.config_hash, r.config_proved)
      IS DISTINCT FROM (said.version, said.status, said.reason, said.hash, said.proved);

-- name: hurry_configs
-- The agent is there and has not seen the configuration: it is sent again without a pause.
UPDATE telemetry.config_delivery d
SET attempts = 0
FROM telemetry.desired_config c, telemetry.agent_report r
WHERE d.agent_id = ANY(%(agent_ids)s) AND c.agent_id = d.agent_id AND r.agent_id = d.agent_id
  AND r.config_version <> c.version AND d.tried_at <= %(now)s - %(retry)s::interval;

-- name: hurry_commands
UPDATE telemetry.command_delivery d
SET attempts = 0
FROM telemetry.issued_command c
WHERE c.agent_id = ANY(%(agent_ids)s) AND c.expires_at > %(now)s AND d.command_id = c.command_id
  AND d.tried_at <= %(now)s - %(retry)s::interval
  AND NOT EXISTS (SELECT FROM telemetry.command_result r WHERE r.command_id = c.command_id);

-- name: add_command_result
-- Only of the agent that was told to; the first result counts.
WITH told AS (
    SELECT command_id, agent_id FROM telemetry.issued_command
    WHERE command_id = %(command_id)s::uuid AND agent_id = %(agent_id)s
), added AS (
    INSERT INTO telemetry.command_result
        (command_id, agent_id, status, reason, output, finished_at, received_at)
    SELECT command_id, agent_id, %(status)s, %(reason)s, %(output)s::jsonb, %(finished_at)s, %(received_at)s FROM told
    ON CONFLICT DO NOTHING
    RETURNING command_id
)
SELECT EXISTS (SELECT FROM told) AS known;

-- name: bury
INSERT INTO telemetry.dead_letter
    (message_id, received_at, topic, content_type, reason, detail, payload, payload_bytes)
VALUES (%(identity)s::uuid, %(received_at)s, %(topic)s, 'application/json', %(reason)s, %(detail)s, %(payload)s,
        %(payload_bytes)s)
ON CONFLICT DO NOTHING;

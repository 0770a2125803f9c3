-- name: look_up_opening
-- The number is taken ahead, so that alerts and answer can tell it.
SELECT * FROM service.look_up_opening(%(serial)s, %(component)s, %(customer_id)s, %(contact_id)s, %(term_id)s, %(kind)s,
                                      %(service_mode)s, %(priority)s, %(topic)s)

-- name: insert_ticket
-- Without a conflict target both uniquenesses count: one open case per asset and cause, one ticket per term.
WITH opened AS (
    INSERT INTO service.ticket
        (ticket_id, kind, service_mode, priority, asset_id, customer_id, contact_id, provider_id, component, cause, title,
         description, raised_by, opened_at, updated_at, due_by, queue, evidence, term_id)
    OVERRIDING SYSTEM VALUE
    VALUES (%(ticket_id)s, %(kind)s, %(service_mode)s, %(priority)s, %(asset_id)s, %(customer_id)s, %(contact_id)s,
            %(provider_id)s, %(component)s, %(cause)s, %(title)s, %(description)s, %(raised_by)s, %(now)s, %(now)s,
            %(due_by)s, %(queue)s, %(evidence)s, %(term_id)s)
    ON CONFLICT DO NOTHING
    RETURNING ticket_id
), told AS (
    INSERT INTO service.ticket_event (ticket_id, at, actor, kind, detail)
    SELECT ticket_id, %(now)s, %(raised_by)s, 'opened', %(detail)s FROM opened
), tagged AS (
    INSERT INTO service.ticket_tag (ticket_id, tag)
    SELECT ticket_id, tag FROM opened, unnest(%(tags)s::text[]) AS tag
)
SELECT ticket_id,
       CASE WHEN %(alert_subject)s::text IS NOT NULL
            THEN service.announce(%(alert_topic)s::text, %(alert_cause)s::text, %(asset_id)s::integer,
                                  %(alert_subject)s::text, %(alert_body)s::text, %(alert_payload)s::jsonb,
                                  %(now)s::timestamptz) END AS announced
FROM opened

-- name: lock_open_case
-- Shared, so that several may add evidence, but nobody may end the case meanwhile.
SELECT ticket_id, state
FROM service.ticket
WHERE asset_id = %(asset_id)s AND cause = %(cause)s AND cause <> ''
  AND state NOT IN ('resolved', 'closed', 'cancelled', 'merged')
FOR SHARE

-- name: ticket_of_term
SELECT ticket_id, state
FROM service.ticket
WHERE term_id = %(term_id)s
FOR SHARE

-- name: component_of_asset
SELECT c.component_id
FROM service.asset a
JOIN service.component c USING (model_id)
WHERE a.asset_id = %(asset_id)s AND c.name = %(component)s

-- name: components_of_asset
SELECT c.name
FROM service.asset a
JOIN service.component c USING (model_id)
WHERE a.asset_id = %(asset_id)s
ORDER BY c.name
LIMIT 20

-- name: describe_machine
SELECT a.serial, m.name AS model_name, s.name AS site_name
FROM service.asset a
JOIN service.product_model m USING (model_id)
LEFT JOIN service.site s USING (site_id)
WHERE a.asset_id = %(asset_id)s

-- name: insert_event
INSERT INTO service.ticket_event (ticket_id, at, actor, kind, detail)
VALUES (%(ticket_id)s, %(now)s, %(actor)s, %(kind)s, %(detail)s)

-- name: list_events
-- Of the case and of those that went into it.
SELECT ticket_event_id, ticket_id, at, actor, kind, detail
FROM service.ticket_event
WHERE ticket_id = ANY (ARRAY(SELECT %(ticket_id)s::bigint UNION ALL
                             SELECT m.ticket_id FROM service.ticket m WHERE m.merged_into = %(ticket_id)s))
  AND ticket_event_id > %(after_id)s
  AND (%(kinds)s::text[] IS NULL OR kind = ANY (%(kinds)s))
ORDER BY ticket_event_id
LIMIT %(fetch)s

-- name: get_ticket
SELECT t.ticket_id, t.kind, t.service_mode, t.state, t.priority, t.asset_id, a.serial, t.customer_id, t.contact_id,
       t.provider_id, t.component, t.cause, t.title, t.description, t.raised_by, t.opened_at, t.updated_at, t.due_by,
       t.closed_at, t.outcome, t.evidence, t.term_id, t.owner_user_id, t.queue,
       ARRAY(SELECT g.tag FROM service.ticket_tag g WHERE g.ticket_id = t.ticket_id ORDER BY g.tag) AS tags,
       t.reopened_count, t.merged_into,
       (SELECT max(j.job_id) FROM service.job j WHERE j.ticket_id = t.ticket_id) AS job_id, t.version
FROM service.ticket t
LEFT JOIN service.asset a USING (asset_id)
WHERE t.ticket_id = %(ticket_id)s

-- name: lock_ticket
SELECT t.ticket_id, t.kind, t.service_mode, t.state, t.priority, t.asset_id, t.customer_id, t.contact_id, t.provider_id,
       t.component, t.cause, t.title, t.description, t.evidence, t.due_by, t.owner_user_id, t.queue, t.version
FROM service.ticket t
WHERE t.ticket_id = %(ticket_id)s
FOR UPDATE

-- name: lock_tickets
-- In the order of their numbers, so that no two calls wait for one another.
SELECT t.ticket_id FROM service.ticket t WHERE t.ticket_id = ANY (%(ticket_ids)s) ORDER BY t.ticket_id FOR UPDATE

-- name: open_job
SELECT job_id FROM service.job
WHERE ticket_id = %(ticket_id)s AND state NOT IN ('completed', 'cancelled')

-- name: open_repair
SELECT repair_id FROM service.repair
WHERE ticket_id = %(ticket_id)s AND state NOT IN ('closed', 'cancelled')

-- name: change_ticket
UPDATE service.ticket
SET title = %(title)s, description = %(description)s, priority = %(priority)s, due_by = %(due_by)s,
    service_mode = %(service_mode)s, queue = %(queue)s, contact_id = %(contact_id)s, version = version + 1
WHERE ticket_id = %(ticket_id)s

-- name: assign_ticket
UPDATE service.ticket
SET owner_user_id = %(owner_user_id)s, queue = %(queue)s, provider_id = %(provider_id)s, version = version + 1
WHERE ticket_id = %(ticket_id)s

-- name: tags_of
SELECT tag FROM service.ticket_tag WHERE ticket_id = %(ticket_id)s ORDER BY tag LIMIT 100

-- name: delete_tags
DELETE FROM service.ticket_tag WHERE ticket_id = %(ticket_id)s AND tag = ANY (%(tags)s::text[])

-- name: insert_tags
INSERT INTO service.ticket_tag (ticket_id, tag)
SELECT %(ticket_id)s::bigint, tag FROM unnest(%(tags)s::text[]) AS tag
ON CONFLICT DO NOTHING

-- name: contact_of_customer
SELECT contact_id FROM service.contact
WHERE contact_id = %(contact_id)s AND customer_id = %(customer_id)s AND active

-- name: worker
SELECT user_id, name FROM service.app_user
WHERE user_id = %(user_id)s AND active AND role NOT IN ('customer', 'service')

-- name: provider_at_work
SELECT provider_id FROM service.provider WHERE provider_id = %(provider_id)s AND active

-- name: correct_outcome
UPDATE service.ticket SET outcome = %(outcome)s, version = version + 1
WHERE ticket_id = %(ticket_id)s AND outcome = %(was)s
RETURNING ticket_id

-- name: move_ticket
UPDATE service.ticket
SET state = %(to)s,
    outcome = CASE WHEN %(to)s = 'resolved' THEN %(outcome)s WHEN %(over)s THEN outcome END,
    closed_at = CASE WHEN %(over)s THEN coalesce(closed_at, %(now)s) END,
    reopened_count = reopened_count + (state = 'resolved' AND %(to)s = 'open')::integer,
    version = version + 1
WHERE ticket_id = %(ticket_id)s AND state = %(from)s
RETURNING ticket_id

-- What hangs together ---------------------------------------------------------------------------

-- name: merge_ticket
UPDATE service.ticket
SET state = 'merged', merged_into = %(into)s, closed_at = coalesce(closed_at, %(now)s), version = version + 1
WHERE ticket_id = %(ticket_id)s

-- name: merge_earlier
-- Whatever went into the one that goes now, goes on with it: one step leads to the case that is alive.
UPDATE service.ticket SET merged_into = %(into)s WHERE merged_into = %(ticket_id)s

-- name: take_over
-- A machine that reports the same cause again shall find the case that goes on.
UPDATE service.ticket SET cause = CASE WHEN cause = '' THEN %(cause)s ELSE cause END, version = version + 1
WHERE ticket_id = %(into)s

-- name: copy_watchers
INSERT INTO service.ticket_watcher (ticket_id, user_id, since)
SELECT %(into)s::bigint, user_id, since FROM service.ticket_watcher WHERE ticket_id = %(ticket_id)s
ON CONFLICT DO NOTHING

-- name: copy_tags
INSERT INTO service.ticket_tag (ticket_id, tag)
SELECT %(into)s::bigint, tag FROM service.ticket_tag WHERE ticket_id = %(ticket_id)s
ON CONFLICT DO NOTHING

-- name: insert_link
INSERT INTO service.ticket_link (from_ticket_id, to_ticket_id, kind, made_by, made_at)
VALUES (%(from_ticket_id)s, %(to_ticket_id)s, %(kind)s, %(made_by)s, %(now)s)
ON CONFLICT (from_ticket_id, to_ticket_id, kind) DO NOTHING
RETURNING link_id, from_ticket_id, to_ticket_id, kind, made_by, made_at

-- name: find_link
SELECT link_id, from_ticket_id, to_ticket_id, kind, made_by, made_at
FROM service.ticket_link
WHERE from_ticket_id = %(from_ticket_id)s AND to_ticket_id = %(to_ticket_id)s AND kind = %(kind)s

-- name: delete_link
DELETE FROM service.ticket_link
WHERE link_id = %(link_id)s AND (from_ticket_id = %(ticket_id)s OR to_ticket_id = %(ticket_id)s)
RETURNING link_id, from_ticket_id, to_ticket_id, kind, made_by, made_at

-- name: list_links
SELECT link_id, from_ticket_id, to_ticket_id, kind, made_by, made_at
FROM service.ticket_link
WHERE (from_ticket_id = %(ticket_id)s OR to_ticket_id = %(ticket_id)s) AND link_id > %(after_id)s
ORDER BY link_id
LIMIT %(fetch)s

-- name: insert_watcher
INSERT INTO service.ticket_watcher (ticket_id, user_id, since) VALUES (%(ticket_id)s, %(user_id)s, %(now)s)
ON CONFLICT DO NOTHING

-- name: delete_watcher
DELETE FROM service.ticket_watcher WHERE ticket_id = %(ticket_id)s AND user_id = %(user_id)s
RETURNING user_id

-- name: list_watchers
SELECT w.user_id, u.name, w.since
FROM service.ticket_watcher w
JOIN service.app_user u USING (user_id)
WHERE w.ticket_id = %(ticket_id)s AND w.user_id > %(after_id)s
ORDER BY w.user_id
LIMIT %(fetch)s

-- Routes ----------------------------------------------------------------------------------------

-- name: insert_route
INSERT INTO service.ticket_route (place, kind, service_mode, priority, product_kind, territory, queue, active)
VALUES (%(place)s, %(kind)s, %(service_mode)s, %(priority)s, %(product_kind)s, %(territory)s, %(queue)s, %(active)s)
RETURNING route_id, place, kind, service_mode, priority, product_kind, territory, queue, active, version

-- name: change_route
UPDATE service.ticket_route
SET place = %(place)s, kind = %(kind)s, service_mode = %(service_mode)s, priority = %(priority)s,
    product_kind = %(product_kind)s, territory = %(territory)s, queue = %(queue)s, active = %(active)s,
    version = version + 1
WHERE route_id = %(route_id)s AND version = %(version)s
RETURNING route_id, place, kind, service_mode, priority, product_kind, territory, queue, active, version

-- name: delete_route
DELETE FROM service.ticket_route WHERE route_id = %(route_id)s RETURNING route_id

-- name: get_route
SELECT route_id, place, kind, service_mode, priority, product_kind, territory, queue, active, version
FROM service.ticket_route
WHERE route_id = %(route_id)s

-- name: list_routes
SELECT route_id, place, kind, service_mode, priority, product_kind, territory, queue, active, version
FROM service.ticket_route
WHERE route_id > %(after_id)s
ORDER BY route_id
LIMIT %(fetch)s

-- Saved lists -----------------------------------------------------------------------------------

-- name: insert_filter
INSERT INTO service.ticket_filter (name, owner_key, shared, wish, made_at)
VALUES (%(name)s, %(owner_key)s, %(shared)s, %(wish)s, %(now)s)
ON CONFLICT DO NOTHING
RETURNING filter_id, name, owner_key, shared, wish, version

-- name: change_filter
UPDATE service.ticket_filter
SET shared = %(shared)s, wish = %(wish)s, version = version + 1
WHERE filter_id = %(filter_id)s
RETURNING filter_id, name, owner_key, shared, wish, version

-- name: delete_filter
DELETE FROM service.ticket_filter WHERE filter_id = %(filter_id)s

-- name: lock_filter
SELECT filter_id, name, owner_key, shared, wish, version
FROM service.ticket_filter
WHERE filter_id = %(filter_id)s AND (shared OR owner_key = %(owner_key)s)
FOR UPDATE

-- name: find_filter
SELECT filter_id, name, owner_key, shared, wish, version
FROM service.ticket_filter
WHERE name = %(name)s AND (shared OR owner_key = %(owner_key)s)
ORDER BY owner_key = %(owner_key)s DESC
LIMIT 1

-- name: list_filters
SELECT filter_id, name, owner_key, shared, wish, version
FROM service.ticket_filter
WHERE filter_id > %(after_id)s AND (shared OR owner_key = %(owner_key)s)
ORDER BY filter_id
LIMIT %(fetch)s


-- name: search_tickets
-- The best of a stretch of numbers; then their rows, so that no more are read than shown.
WITH hit AS MATERIALIZED (
    SELECT h.ticket_id, h.score, h.bottom
    FROM service.search_tickets(%(asked)s::tsquery, least(%(top)s, (SELECT max(ticket_id) FROM service.ticket_search)),
                                %(ground)s, %(wanted)s, %(within_ms)s) AS h
), best AS (
    SELECT ticket_id, score FROM hit
    WHERE ticket_id IS NOT NULL AND (score, ticket_id) < (%(score)s::real, %(after_id)s::bigint)
    ORDER BY score DESC, ticket_id DESC
    LIMIT %(fetch)s
)
SELECT (SELECT max(bottom) FROM hit) AS bottom, (SELECT max(ticket_id) FROM service.ticket_search) AS newest_id,
       b.score, t.ticket_id, t.kind, t.service_mode, t.state, t.priority, a.serial, t.customer_id, t.contact_id,
       t.provider_id, t.component, t.cause, t.title, t.description, t.raised_by, t.opened_at, t.updated_at, t.due_by,
       t.closed_at, t.outcome, t.evidence, t.term_id, t.owner_user_id, t.queue,
       ARRAY(SELECT g.tag FROM service.ticket_tag g WHERE g.ticket_id = t.ticket_id ORDER BY g.tag) AS tags,
       t.reopened_count, t.merged_into,
       (SELECT max(j.job_id) FROM service.job j WHERE j.ticket_id = t.ticket_id) AS job_id, t.version
FROM (SELECT) AS one
LEFT JOIN best b ON true
LEFT JOIN service.ticket t ON t.ticket_id = b.ticket_id
LEFT JOIN service.asset a USING (asset_id)
ORDER BY b.score DESC, b.ticket_id DESC

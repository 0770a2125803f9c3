-- name: insert_price_list
INSERT INTO service.price_list
    (name, country, customer_kind, provider_level, currency, valid_from, valid_until, labour_hour_minor,
     labour_step_minutes, travel_km_minor, part_factor_bp, minimum_charge_minor, tax_rate_bp, created_at, created_by)
VALUES (%(name)s, %(country)s, %(customer_kind)s, %(provider_level)s, %(currency)s, %(valid_from)s, %(valid_until)s,
        %(labour_hour_minor)s, %(labour_step_minutes)s, %(travel_km_minor)s, %(part_factor_bp)s,
        %(minimum_charge_minor)s, %(tax_rate_bp)s, %(now)s, %(actor)s)
ON CONFLICT DO NOTHING
RETURNING price_list_id

-- name: insert_price_items
INSERT INTO service.price_item (price_list_id, kind, code, price_minor)
SELECT %(price_list_id)s, kind, code, price_minor
FROM unnest(%(kinds)s::text[], %(codes)s::text[], %(prices)s::bigint[]) AS item (kind, code, price_minor)

-- name: get_price_list
SELECT *
FROM service.price_list
WHERE price_list_id = %(price_list_id)s

-- name: list_price_lists
SELECT *
FROM service.price_list
WHERE price_list_id > %(after_id)s
ORDER BY price_list_id
LIMIT %(fetch)s

-- name: list_price_items
SELECT kind, code, price_minor
FROM service.price_item
WHERE price_list_id = %(price_list_id)s
ORDER BY kind, code

-- name: change_price_list
UPDATE service.price_list SET valid_until = %(valid_until)s, version = version + 1
WHERE price_list_id = %(price_list_id)s AND version = %(version)s
RETURNING price_list_id

-- name: lists_of_day
-- Of each series the version that holds on the day; a series is whom it is for and its currency. The most exact first:
-- the country says most, then the kind of customer, then the partner's level.
SELECT l.*
FROM (
    SELECT DISTINCT ON (country, customer_kind, provider_level, currency) *
    FROM service.price_list
    WHERE country IN ('', %(country)s) AND customer_kind IN ('', %(customer_kind)s)
      AND provider_level IN ('', %(provider_level)s) AND valid_from <= %(on)s
      AND (%(currency)s::text IS NULL OR currency = %(currency)s)
    ORDER BY country, customer_kind, provider_level, currency, valid_from DESC
) l
WHERE l.valid_until IS NULL OR l.valid_until >= %(on)s
ORDER BY (l.country <> '') DESC, (l.customer_kind <> '') DESC, (l.provider_level <> '') DESC, l.price_list_id

-- name: prices_of_codes
SELECT kind, code, price_minor
FROM service.price_item
WHERE price_list_id = %(price_list_id)s AND code = ANY (%(codes)s)

-- name: part_costs
-- What the part costs the house, and its list price for customers on the day, where it has one.
SELECT p.sku, p.name, p.cost_minor, p.currency, r.price_minor AS listed_minor
FROM service.part p
LEFT JOIN LATERAL (
    SELECT price_minor FROM service.part_price
    WHERE part_id = p.part_id AND kind = 'customer' AND currency = %(currency)s AND level IN (%(level)s, '')
      AND %(on)s BETWEEN valid_from AND coalesce(valid_until, 'infinity')
    ORDER BY level = '', valid_from DESC
    LIMIT 1
) r ON true
WHERE p.sku = ANY (%(codes)s)

-- name: ticket_to_quote
SELECT t.ticket_id, t.state, t.asset_id, t.component, t.customer_id, a.serial,
       m.name || ' (serial number ' || a.serial || ')' AS machine, coalesce(s.time_zone, 'UTC') AS time_zone,
       coalesce(c.kind, '') AS customer_kind, coalesce(s.country, c.country, '') AS country,
       coalesce(p.level, '') AS provider_level
FROM service.ticket t
LEFT JOIN service.asset a USING (asset_id)
LEFT JOIN service.product_model m USING (model_id)
LEFT JOIN service.site s USING (site_id)
LEFT JOIN service.customer c ON c.customer_id = t.customer_id
LEFT JOIN service.provider p ON p.provider_id = t.provider_id
WHERE t.ticket_id = %(ticket_id)s

-- name: lock_ticket
-- Whoever quotes, decides, charges or pays for a case comes one after the other.
SELECT ticket_id, state FROM service.ticket WHERE ticket_id = %(ticket_id)s FOR UPDATE

-- name: insert_quote
INSERT INTO service.quote
    (ticket_id, revision, price_list_id, currency, net_minor, tax_rate_bp, tax_minor, gross_minor, borne_minor,
     warranty, terms, valid_days, created_at, created_by)
SELECT %(ticket_id)s, 1 + coalesce(max(revision), 0), %(price_list_id)s, %(currency)s, %(net_minor)s, %(tax_rate_bp)s,
       %(tax_minor)s, %(gross_minor)s, %(borne_minor)s, %(warranty)s, %(terms)s, %(valid_days)s, %(now)s, %(actor)s
FROM service.quote
WHERE ticket_id = %(ticket_id)s
RETURNING quote_id

-- name: insert_quote_line
INSERT INTO service.quote_line
    (quote_id, place, kind, code, description, quantity, unit, price_minor, price_per, net_minor, customer_minor,
     bearer, reason)
VALUES (%(quote_id)s, %(place)s, %(kind)s, %(code)s, %(description)s, %(quantity)s, %(unit)s, %(price_minor)s,
        %(price_per)s, %(net_minor)s, %(customer_minor)s, %(bearer)s, %(reason)s)

-- name: get_quote
SELECT q.*,
       coalesce((SELECT jsonb_agg(to_jsonb(l) - 'quote_id' - 'place' ORDER BY l.place)
                 FROM service.quote_line l WHERE l.quote_id = q.quote_id), '[]') AS lines,
       (SELECT to_jsonb(c) FROM service.quote_consent c WHERE c.quote_id = q.quote_id) AS consent
FROM service.quote q
WHERE q.quote_id = %(quote_id)s

-- name: list_quotes_of_ticket
SELECT q.*,
       coalesce((SELECT jsonb_agg(to_jsonb(l) - 'quote_id' - 'place' ORDER BY l.place)
                 FROM service.quote_line l WHERE l.quote_id = q.quote_id), '[]') AS lines,
       (SELECT to_jsonb(c) FROM service.quote_consent c WHERE c.quote_id = q.quote_id) AS consent
FROM service.quote q
WHERE q.ticket_id = %(ticket_id)s AND q.quote_id > %(after_id)s
ORDER BY q.quote_id
LIMIT %(fetch)s

-- name: list_quotes
-- A branch per state that walks its own stretch of the index (state, quote_id).
SELECT q.*,
       coalesce((SELECT jsonb_agg(to_jsonb(l) - 'quote_id' - 'place' ORDER BY l.place)
                 FROM service.quote_line l WHERE l.quote_id = q.quote_id), '[]') AS lines,
       (SELECT to_jsonb(c) FROM service.quote_consent c WHERE c.quote_id = q.quote_id) AS consent
FROM (
    SELECT picked.*
    FROM unnest(%(states)s::text[]) AS wanted (state)
    CROSS JOIN LATERAL (
        SELECT * FROM service.quote
        WHERE (state, quote_id) > (wanted.state, %(after_id)s) AND state <= wanted.state
        ORDER BY state, quote_id
        LIMIT %(fetch)s
    ) picked
    ORDER BY picked.quote_id
    LIMIT %(fetch)s
) q
ORDER BY q.quote_id

-- name: quotes_in_state
SELECT quote_id, state, version FROM service.quote
WHERE ticket_id = %(ticket_id)s AND state = %(state)s AND quote_id <> %(quote_id)s
FOR UPDATE

-- name: lock_quote
SELECT quote_id FROM service.quote WHERE quote_id = %(quote_id)s FOR UPDATE

-- name: quote_of_token
SELECT quote_id FROM service.quote WHERE token_hash = %(token_hash)s AND sent_at IS NOT NULL

-- name: accepted_quote
SELECT quote_id FROM service.quote WHERE ticket_id = %(ticket_id)s AND state = 'accepted'

-- name: due_quotes
SELECT quote_id, ticket_id FROM service.quote
WHERE state = 'sent' AND valid_until <= %(now)s
ORDER BY valid_until, quote_id
LIMIT %(limit)s

-- name: send_quote
UPDATE service.quote
SET state = %(to)s, sent_at = %(now)s, valid_until = %(valid_until)s, text = %(text)s, text_sha256 = %(text_sha256)s,
    token_hash = %(token_hash)s, ticket_state = %(ticket_state)s, version = version + 1
WHERE quote_id = %(quote_id)s

-- name: move_quote
UPDATE service.quote
SET state = %(to)s, decided_at = CASE WHEN %(to)s IN ('accepted', 'declined') THEN %(now)s ELSE decided_at END,
    decline_reason = %(reason)s, version = version + 1
WHERE quote_id = %(quote_id)s

-- name: set_token
UPDATE service.quote SET token_hash = %(token_hash)s WHERE quote_id = %(quote_id)s

-- name: insert_consent
INSERT INTO service.quote_consent
    (quote_id, ticket_id, decision, at, given_by, recorded_by, channel, how_obtained, ip, revision, text, text_sha256,
     reason)
SELECT quote_id, ticket_id, %(decision)s, %(now)s, %(given_by)s, %(actor)s, %(channel)s, %(how_obtained)s, %(ip)s,
       revision, text, text_sha256, %(reason)s
FROM service.quote
WHERE quote_id = %(quote_id)s

-- name: insert_agreed_fee
INSERT INTO service.agreed_fee
    (ticket_id, kind, amount_minor, tax_rate_bp, currency, agreed_at, given_by, recorded_by, channel, how_obtained,
     text, text_sha256)
VALUES (%(ticket_id)s, %(kind)s, %(amount_minor)s, %(tax_rate_bp)s, %(currency)s, %(now)s, %(given_by)s, %(actor)s,
        %(channel)s, %(how_obtained)s, %(text)s, %(text_sha256)s)
ON CONFLICT (ticket_id, kind) DO NOTHING
RETURNING *

-- name: list_agreed_fees
SELECT * FROM service.agreed_fee
WHERE ticket_id = %(ticket_id)s AND agreed_fee_id > %(after_id)s
ORDER BY agreed_fee_id
LIMIT %(fetch)s

-- name: agreed_fee
SELECT * FROM service.agreed_fee WHERE ticket_id = %(ticket_id)s AND agreed_fee_id = %(agreed_fee_id)s

-- name: uncharged_fees
SELECT * FROM service.agreed_fee
WHERE ticket_id = %(ticket_id)s AND kind = ANY (%(kinds)s) AND charged_minor = 0
ORDER BY agreed_fee_id

-- name: insert_charge
INSERT INTO service.charge
    (ticket_id, quote_id, agreed_fee_id, amount_minor, tax_minor, tax_rate_bp, currency, description, charged_at,
     charged_by)
VALUES (%(ticket_id)s, %(quote_id)s, %(agreed_fee_id)s, %(amount_minor)s, %(tax_minor)s, %(tax_rate_bp)s, %(currency)s,
        %(description)s, %(now)s, %(actor)s)
RETURNING *

-- name: lock_charge
SELECT * FROM service.charge WHERE charge_id = %(charge_id)s FOR UPDATE

-- name: void_charge
UPDATE service.charge SET state = %(to)s, void_reason = %(reason)s, version = version + 1
WHERE charge_id = %(charge_id)s
RETURNING *

-- name: list_charges
SELECT * FROM service.charge
WHERE ticket_id = %(ticket_id)s AND charge_id > %(after_id)s
ORDER BY charge_id
LIMIT %(fetch)s

-- name: get_account
SELECT coalesce(a.currency, p.currency) AS currency, coalesce(a.accepted_minor, 0) AS accepted_minor,
       coalesce(a.charged_minor, 0) AS charged_minor, coalesce(a.fees_minor, 0) AS fees_minor,
       p.authorised_minor, p.captured_minor, p.refunded_minor
FROM (
    SELECT min(currency) AS currency,
           coalesce(sum(amount_minor) FILTER (WHERE state = 'authorised'), 0)::bigint AS authorised_minor,
           coalesce(sum(captured_minor), 0)::bigint AS captured_minor,
           coalesce(sum(refunded_minor), 0)::bigint AS refunded_minor
    FROM service.payment
    WHERE ticket_id = %(ticket_id)s
) p
LEFT JOIN service.ticket_account a ON a.ticket_id = %(ticket_id)s

-- name: insert_payment
INSERT INTO service.payment
    (ticket_id, provider, external_reference, method, state, amount_minor, captured_minor, currency, fail_reason, at,
     recorded_by)
VALUES (%(ticket_id)s, %(provider)s, %(external_reference)s, %(method)s, %(state)s::text, %(amount_minor)s::bigint,
        CASE WHEN %(state)s::text = 'captured' THEN %(amount_minor)s::bigint ELSE 0 END, %(currency)s, %(reason)s,
        %(now)s, %(actor)s)
ON CONFLICT (provider, external_reference) DO NOTHING
RETURNING payment_id

-- name: find_payment
SELECT payment_id, ticket_id, amount_minor, currency FROM service.payment
WHERE provider = %(provider)s AND external_reference = %(external_reference)s

-- name: lock_payment
SELECT payment_id, ticket_id, state, amount_minor, captured_minor, refunded_minor, currency FROM service.payment
WHERE payment_id = %(payment_id)s
FOR UPDATE

-- name: get_payment
SELECT p.*, coalesce((SELECT jsonb_agg(to_jsonb(r) - 'refund_id' - 'payment_id' ORDER BY r.refund_id)
                      FROM service.refund r WHERE r.payment_id = p.payment_id), '[]') AS refunds
FROM service.payment p
WHERE p.payment_id = %(payment_id)s

-- name: list_payments
SELECT p.*, coalesce((SELECT jsonb_agg(to_jsonb(r) - 'refund_id' - 'payment_id' ORDER BY r.refund_id)
                      FROM service.refund r WHERE r.payment_id = p.payment_id), '[]') AS refunds
FROM service.payment p
WHERE p.ticket_id = %(ticket_id)s AND p.payment_id > %(after_id)s
ORDER BY p.payment_id
LIMIT %(fetch)s

-- name: move_payment
UPDATE service.payment
SET state = %(to)s, captured_minor = captured_minor + %(captured_minor)s,
    fail_reason = CASE WHEN %(to)s = 'failed' THEN %(reason)s ELSE fail_reason END, version = version + 1
WHERE payment_id = %(payment_id)s

-- name: find_refund
SELECT amount_minor FROM service.refund
WHERE payment_id = %(payment_id)s AND external_reference = %(external_reference)s

-- name: insert_refund
INSERT INTO service.refund (payment_id, external_reference, amount_minor, reason, at, recorded_by)
VALUES (%(payment_id)s, %(external_reference)s, %(amount_minor)s, %(reason)s, %(now)s, %(actor)s)

-- name: insert_payment_provider
INSERT INTO service.payment_provider (name, secret, created_at) VALUES (%(name)s, %(secret)s, %(now)s)
ON CONFLICT (name) DO NOTHING
RETURNING payment_provider_id, name, active, created_at

-- name: list_payment_providers
SELECT payment_provider_id, name, active, created_at FROM service.payment_provider
WHERE payment_provider_id > %(after_id)s
ORDER BY payment_provider_id
LIMIT %(fetch)s

-- name: payment_provider
SELECT payment_provider_id, name, secret FROM service.payment_provider WHERE name = %(name)s AND active

-- name: take_message
INSERT INTO service.payment_message (payment_provider_id, message_id, at)
VALUES (%(payment_provider_id)s, %(message_id)s, %(now)s)
ON CONFLICT DO NOTHING
RETURNING message_id

-- name: payment_of_message
UPDATE service.payment_message SET payment_id = %(payment_id)s
WHERE payment_provider_id = %(payment_provider_id)s AND message_id = %(message_id)s

-- name: ticket_exists
SELECT 1 AS there FROM service.ticket WHERE ticket_id = %(ticket_id)s

-- name: customer_of_ticket
SELECT c.name AS customer, a.serial
FROM service.ticket t
LEFT JOIN service.customer c USING (customer_id)
LEFT JOIN service.asset a ON a.asset_id = t.asset_id
WHERE t.ticket_id = %(ticket_id)s

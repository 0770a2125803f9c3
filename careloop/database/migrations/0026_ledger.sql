-- The ledger of stock: double-entry. Each row moves pieces of a part from one place to another, so that what leaves
-- somewhere arrives somewhere; balances are derived by a trigger, and nobody else writes them
-- (docs/decisions/0026-double-entry-stock.md).

ALTER TABLE service.warehouse
    -- Whose it is: a partner's, or the van of a technician; null for the maker's own.
    ADD COLUMN provider_id    bigint REFERENCES service.provider,
    ADD COLUMN technician_id  bigint REFERENCES service.technician,
    ADD COLUMN time_zone      text NOT NULL DEFAULT 'UTC',
    ADD COLUMN active         boolean NOT NULL DEFAULT true,
    ADD COLUMN version        integer NOT NULL DEFAULT 1,
    DROP CONSTRAINT warehouse_kind_check,
    ADD CONSTRAINT warehouse_kind_check CHECK (kind IN ('central', 'partner', 'van', 'repair_centre', 'quarantine'));
CREATE INDEX warehouse_provider_id ON service.warehouse (provider_id);
CREATE INDEX warehouse_technician_id ON service.warehouse (technician_id);

-- A place in a warehouse, so that what lies where can be found.
CREATE TABLE service.bin (
    bin_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    warehouse_id  bigint NOT NULL REFERENCES service.warehouse,
    code          text NOT NULL,
    UNIQUE (warehouse_id, code)
);

-- The movements ------------------------------------------------------------------------------------

ALTER TABLE service.stock_movement RENAME TO stock_movement_before;
ALTER INDEX service.stock_movement_pkey RENAME TO stock_movement_before_pkey;
DROP INDEX service.stock_movement_part, service.stock_movement_warehouse;
DELETE FROM service.guarded WHERE table_name = 'stock_movement';

-- Places in a warehouse: free, reserved (kept for a job, still on the shelf), issued (in the technician's hands), transit
-- (on its way to that warehouse). Outside: supplier, used, scrapped, variance (found or missing when counted), converted
-- (kits taken apart or put together), repair (rotables out at repair).
CREATE TABLE service.stock_movement (
    movement_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    part_id            bigint NOT NULL REFERENCES service.part,
    quantity           integer NOT NULL CHECK (quantity > 0),
    kind               text NOT NULL CHECK (kind IN ('receipt', 'transfer_out', 'transfer_in', 'reserve', 'release', 'issue',
                           'consume', 'return', 'scrap', 'count', 'convert', 'repair_out', 'repair_in')),
    from_place         text NOT NULL,
    from_warehouse_id  bigint REFERENCES service.warehouse,
    to_place           text NOT NULL,
    to_warehouse_id    bigint REFERENCES service.warehouse,
    -- Why, e.g. 'transfer' and '12'; a delivery note's or another paper's number stands behind 'note'.
    cause_kind         text NOT NULL CHECK (cause_kind IN ('ticket', 'job', 'visit', 'reservation', 'transfer', 'purchase',
                           'count', 'rotable', 'kit', 'repair', 'old_part', 'note')),
    cause_key          text NOT NULL,
    ticket_id          bigint REFERENCES service.ticket,
    note               text NOT NULL DEFAULT '',
    actor              text NOT NULL DEFAULT service.current_actor(),
    at                 timestamptz NOT NULL,
    CHECK (from_place IN ('free', 'reserved', 'issued', 'transit', 'supplier', 'used', 'scrapped', 'variance', 'converted',
                          'repair')),
    CHECK (to_place IN ('free', 'reserved', 'issued', 'transit', 'supplier', 'used', 'scrapped', 'variance', 'converted',
                        'repair')),
    CHECK ((from_place IN ('free', 'reserved', 'issued', 'transit')) = (from_warehouse_id IS NOT NULL)),
    CHECK ((to_place IN ('free', 'reserved', 'issued', 'transit')) = (to_warehouse_id IS NOT NULL)),
    CHECK (from_warehouse_id IS NOT NULL OR to_warehouse_id IS NOT NULL),
    CHECK ((from_place, from_warehouse_id) IS DISTINCT FROM (to_place, to_warehouse_id))
);

INSERT INTO service.stock_movement
    (part_id, quantity, kind, from_place, from_warehouse_id, to_place, to_warehouse_id, cause_kind, cause_key, at)
SELECT part_id, abs(CASE WHEN on_hand_change = 0 THEN reserved_change ELSE on_hand_change END),
       CASE kind WHEN 'adjust' THEN 'count' ELSE kind END,
       CASE WHEN kind = 'receipt' THEN 'supplier' WHEN kind = 'adjust' AND on_hand_change > 0 THEN 'variance'
            WHEN kind = 'return' THEN 'used' WHEN kind = 'release' OR reserved_change < 0 THEN 'reserved' ELSE 'free' END,
       CASE WHEN kind IN ('receipt', 'return') OR (kind = 'adjust' AND on_hand_change > 0) THEN NULL ELSE warehouse_id END,
       CASE WHEN kind = 'consume' THEN 'used' WHEN kind = 'adjust' AND on_hand_change < 0 THEN 'variance'
            WHEN kind = 'reserve' THEN 'reserved' ELSE 'free' END,
       CASE WHEN kind = 'consume' OR (kind = 'adjust' AND on_hand_change < 0) THEN NULL ELSE warehouse_id END,
       CASE WHEN cause ~ '^(reservation|visit|job|repair):[0-9]+$' THEN split_part(cause, ':', 1) ELSE 'note' END,
       CASE WHEN cause ~ '^(reservation|visit|job|repair):[0-9]+$' THEN split_part(cause, ':', 2) ELSE cause END,
       at
FROM service.stock_movement_before
WHERE on_hand_change <> 0 OR reserved_change <> 0
ORDER BY movement_id;

DROP TABLE service.stock_movement_before;

CREATE INDEX stock_movement_part ON service.stock_movement (part_id, movement_id);
CREATE INDEX stock_movement_from ON service.stock_movement (from_warehouse_id, part_id, movement_id)
    WHERE from_warehouse_id IS NOT NULL;
CREATE INDEX stock_movement_to ON service.stock_movement (to_warehouse_id, part_id, movement_id)
    WHERE to_warehouse_id IS NOT NULL;
CREATE INDEX stock_movement_cause ON service.stock_movement (cause_kind, cause_key, movement_id);
CREATE INDEX stock_movement_ticket_id ON service.stock_movement (ticket_id, movement_id) WHERE ticket_id IS NOT NULL;

-- The balances -------------------------------------------------------------------------------------

-- on_hand is what is free and what is reserved. Of its rows only the last three columns are anybody's to write.
ALTER TABLE service.stock
    ADD COLUMN issued        integer NOT NULL DEFAULT 0 CHECK (issued >= 0),
    -- On its way here.
    ADD COLUMN in_transit    integer NOT NULL DEFAULT 0 CHECK (in_transit >= 0),
    -- When what is on hand came in, on average; null where there never was any.
    ADD COLUMN stocked_at    timestamptz,
    ADD COLUMN bin_id        bigint REFERENCES service.bin,
    ADD COLUMN min_quantity  integer CHECK (min_quantity >= 0),
    ADD COLUMN max_quantity  integer CHECK (max_quantity >= min_quantity);
CREATE INDEX stock_bin_id ON service.stock (bin_id) WHERE bin_id IS NOT NULL;
UPDATE service.stock s SET stocked_at = m.at
FROM (SELECT to_warehouse_id, part_id, max(at) AS at FROM service.stock_movement
      WHERE to_warehouse_id IS NOT NULL AND from_warehouse_id IS NULL GROUP BY to_warehouse_id, part_id) m
WHERE m.to_warehouse_id = s.warehouse_id AND m.part_id = s.part_id;

-- Balances follow movements in the same statement; the table's checks refuse what would make one negative. Rows are made
-- empty first: a proposed row with a negative number would be refused even where only an update follows.
CREATE FUNCTION service.derive_stock() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO service.stock (warehouse_id, part_id)
    SELECT warehouse_id, part_id
    FROM (SELECT to_warehouse_id AS warehouse_id, part_id FROM posted
          UNION SELECT from_warehouse_id, part_id FROM posted) touched
    WHERE warehouse_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM service.stock s
                      WHERE s.warehouse_id = touched.warehouse_id AND s.part_id = touched.part_id)
    ORDER BY part_id, warehouse_id
    ON CONFLICT DO NOTHING;
    UPDATE service.stock s
    SET on_hand = s.on_hand + change.on_hand,
        reserved = s.reserved + change.reserved,
        issued = s.issued + change.issued,
        in_transit = s.in_transit + change.in_transit,
        stocked_at = CASE WHEN change.on_hand <= 0 THEN s.stocked_at
                          WHEN s.on_hand = 0 THEN change.at
                          ELSE s.stocked_at + (change.at - s.stocked_at)
                               * (change.on_hand::double precision / (s.on_hand + change.on_hand)) END
    FROM (
        SELECT warehouse_id, part_id, max(at) AS at,
               sum(pieces) FILTER (WHERE place IN ('free', 'reserved')) AS on_hand,
               sum(pieces) FILTER (WHERE place = 'reserved') AS reserved,
               sum(pieces) FILTER (WHERE place = 'issued') AS issued,
               sum(pieces) FILTER (WHERE place = 'transit') AS in_transit
        FROM (SELECT to_warehouse_id AS warehouse_id, part_id, to_place AS place, quantity AS pieces, at FROM posted
              UNION ALL SELECT from_warehouse_id, part_id, from_place, -quantity, at FROM posted) side
        WHERE warehouse_id IS NOT NULL
        GROUP BY warehouse_id, part_id
    ) moved
    CROSS JOIN LATERAL (
        SELECT coalesce(moved.on_hand, 0) AS on_hand, coalesce(moved.reserved, 0) AS reserved,
               coalesce(moved.issued, 0) AS issued, coalesce(moved.in_transit, 0) AS in_transit, moved.at
    ) change
    WHERE s.warehouse_id = moved.warehouse_id AND s.part_id = moved.part_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER derive_stock AFTER INSERT ON service.stock_movement
    REFERENCING NEW TABLE AS posted FOR EACH STATEMENT EXECUTE FUNCTION service.derive_stock();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON service.stock_movement
    FOR EACH ROW EXECUTE FUNCTION service.refuse_rewriting();

-- Where the balances differ from what the movements make: never any row.
CREATE VIEW service.stock_imbalance WITH (security_invoker = true) AS
SELECT warehouse_id, part_id, s.on_hand, s.reserved, s.issued, s.in_transit,
       coalesce(m.on_hand, 0) AS moved_on_hand, coalesce(m.reserved, 0) AS moved_reserved,
       coalesce(m.issued, 0) AS moved_issued, coalesce(m.in_transit, 0) AS moved_in_transit
FROM service.stock s
FULL JOIN (
    SELECT warehouse_id, part_id,
           sum(pieces) FILTER (WHERE place IN ('free', 'reserved')) AS on_hand,
           sum(pieces) FILTER (WHERE place = 'reserved') AS reserved,
           sum(pieces) FILTER (WHERE place = 'issued') AS issued,
           sum(pieces) FILTER (WHERE place = 'transit') AS in_transit
    FROM (SELECT to_warehouse_id AS warehouse_id, part_id, to_place AS place, quantity AS pieces
          FROM service.stock_movement
          UNION ALL
          SELECT from_warehouse_id, part_id, from_place, -quantity FROM service.stock_movement) side
    WHERE warehouse_id IS NOT NULL
    GROUP BY warehouse_id, part_id
) m USING (warehouse_id, part_id)
WHERE (s.on_hand, s.reserved, s.issued, s.in_transit) IS DISTINCT FROM
      (coalesce(m.on_hand, 0), coalesce(m.reserved, 0), coalesce(m.issued, 0), coalesce(m.in_transit, 0));

-- Reservations -------------------------------------------------------------------------------------

-- A part may be kept for a case before anybody has made a job of it.
ALTER TABLE service.reservation
    ALTER COLUMN job_id DROP NOT NULL,
    ADD COLUMN ticket_id  bigint REFERENCES service.ticket,
    -- Which demand it answers (allocation).
    ADD COLUMN demand_id  bigint;
UPDATE service.reservation r SET ticket_id = j.ticket_id FROM service.job j WHERE j.job_id = r.job_id;
ALTER TABLE service.reservation ADD CONSTRAINT reservation_for_somebody CHECK (job_id IS NOT NULL OR ticket_id IS NOT NULL);
CREATE INDEX reservation_ticket_id ON service.reservation (ticket_id, reservation_id);
CREATE INDEX reservation_demand_id ON service.reservation (demand_id) WHERE demand_id IS NOT NULL;

-- Who sees what ------------------------------------------------------------------------------------

-- A partner sees its own warehouses and those of the house; a customer none.
CALL service.guard_anew('service.warehouse', '(SELECT service.scope_customer_id()) IS NULL '
    'AND (provider_id IS NULL OR provider_id = (SELECT service.scope_provider_id()))', 'warehouse_id');
CALL service.guard_anew('service.stock', 'EXISTS (SELECT FROM service.warehouse w WHERE w.warehouse_id = stock.warehouse_id)',
    'warehouse_id,part_id', audited => false);
CALL service.guard('service.stock_movement', 'EXISTS (SELECT FROM service.warehouse w '
    'WHERE w.warehouse_id IN (stock_movement.from_warehouse_id, stock_movement.to_warehouse_id))', 'movement_id',
    audited => false, personal => ARRAY['note']);
CALL service.guard('service.bin', 'EXISTS (SELECT FROM service.warehouse w WHERE w.warehouse_id = bin.warehouse_id)', 'bin_id');
CALL service.guard_anew('service.reservation', 'EXISTS (SELECT FROM service.job j WHERE j.job_id = reservation.job_id) '
    'OR EXISTS (SELECT FROM service.ticket t WHERE t.ticket_id = reservation.ticket_id)', 'reservation_id', states => true);

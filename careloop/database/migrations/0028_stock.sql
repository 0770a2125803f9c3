-- Reservations that travel and are handed out, and stock that is counted.

ALTER TABLE service.reservation
    -- Where its pieces are: on the shelf of its warehouse, on their way there, or in the technician's hands.
    ADD COLUMN place  text NOT NULL DEFAULT 'reserved' CHECK (place IN ('reserved', 'transit', 'issued'));

-- A case's pieces may come from several warehouses, and all of them hang on the job that is made of it. Whoever reserves
-- for a job holds its lock, so nothing is kept twice.
DROP INDEX service.reservation_one_open;
CREATE INDEX reservation_open ON service.reservation (job_id, part_id) WHERE state = 'reserved';
CREATE INDEX reservation_without_job ON service.reservation (ticket_id) WHERE job_id IS NULL;

-- Where a part comes from may be said to whoever sees the reservation, though the warehouse itself is another partner's.
CREATE FUNCTION service.warehouse_code(wanted bigint) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT code FROM service.warehouse WHERE warehouse_id = wanted
$$;

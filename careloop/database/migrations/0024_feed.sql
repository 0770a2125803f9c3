-- The change feed as others read it: in an order that never gets a gap filled in behind a reader, and pushed to webhooks.

-- Numbers of changes are drawn before they commit, so a smaller one may appear after a larger one was read. A position is
-- given after the commit, by one at a time; within a ticket positions follow the numbers.
CREATE TABLE service.feed (
    position   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    change_id  bigint NOT NULL UNIQUE REFERENCES service.change
);
CALL service.guard('service.feed', 'EXISTS (SELECT FROM service.change c WHERE c.change_id = feed.change_id)', 'position',
    audited => false);

-- Up to which number everything has its position or never will. The next mark holds once every transaction is over that
-- ran when it was set.
CREATE TABLE service.feed_mark (
    only_row       boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    settled_id     bigint NOT NULL,
    next_id        bigint NOT NULL,
    -- The first transaction that had not begun when next_id was read.
    next_xid       xid8 NOT NULL
);
INSERT INTO service.feed_mark (settled_id, next_id, next_xid) VALUES (0, 0, '0');
CALL service.guard('service.feed_mark', 'false', 'only_row', audited => false);

CREATE TABLE service.webhook (
    webhook_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name             text NOT NULL UNIQUE,
    url              text NOT NULL,
    -- Standard Webhooks signing secrets (whsec_…), needed in clear to sign; the one before is used too until it ends.
    secret           text NOT NULL,
    previous_secret  text,
    previous_until   timestamptz,
    -- e.g. 'ticket.*', 'visit.completed'.
    types            text[] NOT NULL,
    active           boolean NOT NULL DEFAULT true,
    created_at       timestamptz NOT NULL,
    version          integer NOT NULL DEFAULT 1
);
CALL service.guard('service.webhook', 'false', 'webhook_id', hidden => ARRAY['secret', 'previous_secret'],
    personal => ARRAY['url']);

-- How far delivery is. Written by deliverers only, in real time.
CREATE TABLE service.webhook_progress (
    webhook_id       bigint PRIMARY KEY REFERENCES service.webhook ON DELETE CASCADE,
    -- All up to here was taken, or is parked.
    position         bigint NOT NULL,
    -- Counts the replays, so that a deliverer that was on its way does not undo one.
    replays          integer NOT NULL DEFAULT 0,
    failures         integer NOT NULL DEFAULT 0,
    next_attempt_at  timestamptz NOT NULL,
    lease_until      timestamptz,
    last_error       text,
    delivered_at     timestamptz
);
CALL service.guard('service.webhook_progress', 'false', 'webhook_id', audited => false);

-- What the receiver did not take, and what waits behind it because it is about the same ticket.
CREATE TABLE service.webhook_parked (
    webhook_id       bigint NOT NULL REFERENCES service.webhook ON DELETE CASCADE,
    position         bigint NOT NULL REFERENCES service.feed,
    -- e.g. 'ticket:12': within a lane the order is kept.
    lane             text NOT NULL,
    attempts         integer NOT NULL DEFAULT 0,
    next_attempt_at  timestamptz NOT NULL,
    last_error       text,
    -- Given up; the lane goes on without it.
    dead             boolean NOT NULL DEFAULT false,
    PRIMARY KEY (webhook_id, position)
);
CREATE INDEX webhook_parked_lane ON service.webhook_parked (webhook_id, lane, position) WHERE NOT dead;
CREATE INDEX webhook_parked_position ON service.webhook_parked (position);
CALL service.guard('service.webhook_parked', 'false', 'webhook_id,position', audited => false);

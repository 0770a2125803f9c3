-- Who does which recurring duty, when. Operational state of the scheduler and other tickers, not business data.
CREATE SCHEMA scheduling;

CREATE TABLE scheduling.duty (
    name          text PRIMARY KEY,
    every         interval NOT NULL CHECK (every > interval '0'),
    next_run_at   timestamptz NOT NULL,
    lease_until   timestamptz,
    owner         text,
    fence         bigint NOT NULL DEFAULT 0
);

CREATE TABLE scheduling.duty_run (
    name         text NOT NULL REFERENCES scheduling.duty ON DELETE CASCADE,
    due_at       timestamptz NOT NULL,
    owner        text NOT NULL,
    started_at   timestamptz NOT NULL,
    finished_at  timestamptz,
    error        text,
    PRIMARY KEY (name, due_at)
);

-- Why an active plan can't fall due at all, in words for a dispatcher; the row goes when the obstacle does.
CREATE TABLE scheduling.plan_obstacle (
    plan_id     bigint PRIMARY KEY,
    reason      text NOT NULL,
    noticed_at  timestamptz NOT NULL
);

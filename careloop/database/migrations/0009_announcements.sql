-- What a device said once of its later messages: a Sparkplug birth, a discovery message of Home Assistant. Kept, so that
-- any ingest worker can read what follows, also after a restart.
CREATE TABLE telemetry.announcement (
    format        text NOT NULL CHECK (format IN ('sparkplug', 'home_assistant')),
    -- Who said it: an edge node or a device of it, a discovery topic. A later announcement replaces it.
    source        text NOT NULL,
    -- What is looked up at once: an edge node with its devices, a state topic.
    family        text NOT NULL,
    announced_at  timestamptz NOT NULL,
    body          jsonb NOT NULL,
    PRIMARY KEY (format, source)
);
CREATE INDEX announcement_family ON telemetry.announcement (format, family);

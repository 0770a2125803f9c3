-- The durable buffer (SQLite).

-- name: create_message
CREATE TABLE message (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    kind          TEXT NOT NULL CHECK (kind IN ('telemetry', 'event')),
    topic         TEXT NOT NULL,
    content_type  TEXT NOT NULL,
    payload       BLOB NOT NULL,
    readings      INTEGER NOT NULL,
    size_bytes    INTEGER NOT NULL,
    -- Unix time; 0 is not known.
    stored_s      REAL NOT NULL DEFAULT 0,
    -- Whether it may have been handed to the network, so that it must stay as it is.
    sealed        INTEGER NOT NULL DEFAULT 1
)

-- name: create_message_kind
CREATE INDEX message_kind ON message (kind, seq)

-- name: create_memory
CREATE TABLE memory (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID

-- name: create_counter
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID

-- name: add_stored_s
ALTER TABLE message ADD COLUMN stored_s REAL NOT NULL DEFAULT 0

-- name: add_sealed
ALTER TABLE message ADD COLUMN sealed INTEGER NOT NULL DEFAULT 1

-- name: add_message
INSERT INTO message (kind, topic, content_type, payload, readings, size_bytes, stored_s, sealed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: next_messages
SELECT seq, topic, content_type, payload, readings, sealed FROM message WHERE seq > ? AND seq < ? ORDER BY seq

-- name: next_unsealed
SELECT seq, kind, topic, content_type, payload, readings FROM message
WHERE seq > ? AND seq < ? AND sealed = 0 ORDER BY seq

-- name: seal_message
UPDATE message SET sealed = 1 WHERE seq = ?

-- name: merge_message
UPDATE message SET payload = ?, readings = ?, size_bytes = ?, sealed = 1 WHERE seq = ?

-- name: delete_message
DELETE FROM message WHERE seq = ?

-- name: size_of_message
SELECT size_bytes, readings FROM message WHERE seq = ?

-- name: whole_message
SELECT kind, topic, content_type, payload, readings, stored_s FROM message WHERE seq = ?

-- name: oldest_telemetry
SELECT seq, size_bytes, readings, stored_s FROM message WHERE kind = 'telemetry' AND seq > ? ORDER BY seq LIMIT 256

-- name: oldest_stored
SELECT stored_s FROM message ORDER BY seq LIMIT 1

-- name: shift_stored
UPDATE message SET stored_s = stored_s + ? WHERE seq >= ?

-- name: depth
SELECT count(*), coalesce(sum(readings), 0), coalesce(sum(size_bytes), 0) FROM message

-- name: last_seq
SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'message'

-- name: continue_after_seq
INSERT INTO sqlite_sequence (name, seq) VALUES ('message', ?)

-- name: recall
SELECT text FROM memory WHERE name = ?

-- name: memory
SELECT name, text FROM memory

-- name: remember
INSERT INTO memory (name, text) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET text = excluded.text

-- name: count_up
INSERT INTO counter (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value

-- name: counters
SELECT name, value FROM counter

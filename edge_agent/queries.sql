-- The durable buffer (SQLite).

-- name: create_message
CREATE TABLE message (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    kind          TEXT NOT NULL CHECK (kind IN ('telemetry', 'event')),
    topic         TEXT NOT NULL,
    content_type  TEXT NOT NULL,
    payload       BLOB NOT NULL,
    readings      INTEGER NOT NULL,
    size_bytes    INTEGER NOT NULL
)

-- name: create_message_kind
CREATE INDEX message_kind ON message (kind, seq)

-- name: create_memory
CREATE TABLE memory (name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID

-- name: create_counter
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID

-- name: add_message
INSERT INTO message (kind, topic, content_type, payload, readings, size_bytes) VALUES (?, ?, ?, ?, ?, ?)

-- name: next_messages
SELECT seq, topic, content_type, payload, readings FROM message WHERE seq > ? ORDER BY seq LIMIT ?

-- name: delete_message
DELETE FROM message WHERE seq = ?

-- name: size_of_message
SELECT size_bytes, readings FROM message WHERE seq = ?

-- name: oldest_telemetry
SELECT seq, size_bytes, readings FROM message WHERE kind = 'telemetry' AND seq > ? ORDER BY seq LIMIT 256

-- name: depth
SELECT count(*), coalesce(sum(readings), 0), coalesce(sum(size_bytes), 0) FROM message

-- name: recall
SELECT text FROM memory WHERE name = ?

-- name: remember
INSERT INTO memory (name, text) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET text = excluded.text

-- name: count_up
INSERT INTO counter (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value

-- name: counters
SELECT name, value FROM counter

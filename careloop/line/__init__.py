"""The line's conductor: starts the real processes and drives them through simulated time, for replays and the demo.

It stands above the services without importing them: it speaks to their processes by steps, MQTT through the edge agent,
the REST API, and reads the database to count (docs/decisions/0007-line-conductor.md).
"""

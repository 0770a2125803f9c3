"""MQTT → decode → validate → one transaction → telemetry tables → acknowledge after commit."""

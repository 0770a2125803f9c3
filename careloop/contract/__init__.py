"""The MQTT contract between machines and the platform: topics, SenML, and the other messages."""

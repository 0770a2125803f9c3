"""On the device or gateway: sources, rules, a durable buffer, MQTT. Needs only paho-mqtt and pydantic-settings."""

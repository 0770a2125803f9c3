"""What a device said, as text or bytes, into rows and events."""

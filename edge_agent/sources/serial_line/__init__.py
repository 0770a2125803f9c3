"""Lines from a serial port."""

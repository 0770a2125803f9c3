"""What came in from machines and could not be stored: looked at, and tried again after a fix."""

"""HTTP, asked at an interval."""

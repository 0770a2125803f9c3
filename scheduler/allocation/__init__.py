"""All open demand for parts, planned together each night."""

"""What suppliers pay back for components that failed within their warranty."""

"""What the API shows of itself: `/live`, `/ready`, `/metrics`, a log line and a request id for each request."""

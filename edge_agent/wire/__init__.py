"""What stands between the buffer and the broker: the connection, the window, what awaits confirmation."""

"""What the platform tells agents, and what they answer: desired configuration and commands (docs/remote.md)."""

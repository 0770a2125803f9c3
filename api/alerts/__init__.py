"""What customers and other systems are told: targets, the outbox, and its delivery."""

"""The device's identity: claimed once, kept in a directory that only its owner reads, renewed before it ends."""

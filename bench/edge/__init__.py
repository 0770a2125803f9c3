"""`careloop bench edge`: what an agent costs its device."""

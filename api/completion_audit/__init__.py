"""The completion audit: what partners say of their visits is checked by rules before it is paid."""

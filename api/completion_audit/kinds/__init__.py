"""What rules can look for: each kind a pure function of a visit's facts and the rule's parameters."""

"""Service partners: who they are, where they work, whom to talk to there."""

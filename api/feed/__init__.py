"""The change feed: every change of a state, to be read by cursor or pushed to webhooks."""

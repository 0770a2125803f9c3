"""Rule sets of the completion audit: drafted, tried on past visits, switched on."""

"""What became of components: failures and replacements, and the cases they end."""

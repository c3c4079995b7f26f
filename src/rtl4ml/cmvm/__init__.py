"""cmvm."""

"""Small programs for text."""

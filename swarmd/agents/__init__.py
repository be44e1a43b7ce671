"""Agent types, the processes that run them, and their roles."""

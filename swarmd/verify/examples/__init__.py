"""Examples in the request, in docstrings and in the README as checks: read, run in a sandbox, judged."""

__all__: list[str] = []

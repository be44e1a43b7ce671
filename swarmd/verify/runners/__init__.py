"""One module per gate runner; ``inside`` holds the scripts that run in the sandbox."""

__all__: list[str] = []

"""The message bus: folders that people, programs and the daemon share, and the sockets between processes."""

__all__: list[str] = []

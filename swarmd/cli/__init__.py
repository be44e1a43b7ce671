"""The command line: it parses, asks the layers below, and renders. It holds no state of its own."""

from swarmd.cli.app import main

__all__ = ["main"]

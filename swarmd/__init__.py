"""swarmd: drop a request into a folder, get back a verified git branch made by local models."""

__all__ = ["__version__"]

__version__ = "0.1.0"

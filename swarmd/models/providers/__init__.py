"""Who serves a model: the embedded engine, Ollama, or any OpenAI-compatible server."""

from swarmd.models.providers.base import OnProgress, Pace, Provider, TransientError

__all__ = ["OnProgress", "Pace", "Provider", "TransientError"]

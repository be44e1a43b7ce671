"""Who serves a model: the embedded engine, Ollama, any OpenAI-compatible server, or Anthropic."""

from swarmd.models.providers.base import (
    Health,
    OnPiece,
    Pace,
    Provider,
    ServedModel,
    TransientError,
)

__all__ = ["Health", "OnPiece", "Pace", "Provider", "ServedModel", "TransientError"]

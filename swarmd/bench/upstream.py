"""The servers behind the proxy: one endpoint, or an engine for each model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmd.errors import ModelUnreachableError

if TYPE_CHECKING:
    import httpx

__all__ = ["Upstream", "model_names"]

CONNECT_S = 10.0
SHORT_S = 30.0


class Upstream:
    """One OpenAI-compatible server. It is told no credential but ``key``, and no redirect is followed."""

    def __init__(self, url: str, *, uds: Path | None = None, key: str | None = None) -> None:
        """``url`` ends in /v1; ``uds`` is the unix socket that it is asked over."""
        import httpx

        self.url = url.rstrip("/")
        self._client: httpx.Client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(uds)) if uds else None,
            timeout=httpx.Timeout(None, connect=CONNECT_S),
            trust_env=False,
            follow_redirects=False,
            headers={"authorization": f"Bearer {key}"} if key else {},
        )

    def stream(self, path: str, body: bytes) -> Any:
        """A context manager with the response to a POST of JSON; ``path`` begins behind /v1."""
        headers = {"content-type": "application/json", "accept-encoding": "identity"}
        return self._client.stream("POST", self.url + path, content=body, headers=headers)

    def models(self) -> list[str]:
        """The names that the server lists. Raises ModelUnreachableError."""
        import httpx

        try:
            response = self._client.get(f"{self.url}/models", timeout=SHORT_S)
            response.raise_for_status()
            return [str(one["id"]) for one in response.json()["data"]]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, TypeError, KeyError) as error:
            raise ModelUnreachableError(
                f"{self.url} does not list its models: {error}",
                hint="--endpoint is the URL of an OpenAI-compatible server, up to and with /v1.",
            ) from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def model_names(routes: Mapping[str, Upstream]) -> list[str]:
    """The names that the proxy lists: those of the routes, or what the only server has."""
    named = [name for name in routes if name != "*"]
    return named or (routes["*"].models() if "*" in routes else [])

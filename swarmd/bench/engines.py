"""swarmd's own engines for a bench: one for each model, on unix sockets, ended with the bench."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from swarmd.bench.upstream import Upstream
from swarmd.config import ModelSettings, Settings
from swarmd.errors import ConfigError
from swarmd.models.engine_process import EngineOptions, EngineProcess, default_threads
from swarmd.models.store import Store, default_folder

__all__ = ["Engines"]

T = TypeVar("T")


class Engines:
    """Engines that run while this is used as a context manager; ``routes`` then leads to each by name."""

    def __init__(self, settings: Settings, models: Sequence[str]) -> None:
        """``models`` are names of swarmd.toml that have weights. Raises ConfigError, WeightsError."""
        store = Store(default_folder(settings))
        self.routes: dict[str, Upstream] = {}
        self._patience = max(
            (settings.models[name].first_token_s for name in models if name in settings.models), default=60.0
        )
        self._options = [_options(name, settings, store) for name in dict.fromkeys(models)]
        self._folder = Path(tempfile.mkdtemp(prefix="swarmd-bench-"))
        self._processes: list[EngineProcess] = []
        self._loop = asyncio.new_event_loop()
        # The kernel ends an engine with the thread that started it: this one lives as long as we do.
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Engines:
        """Start and load them. Raises ModelUnreachableError."""
        self._thread.start()
        try:
            for options in self._options:
                process = EngineProcess(options, self._folder)
                self._processes.append(process)
                self._do(process.start(self._patience))
                self.routes[options.model] = Upstream("http://engine/v1", uds=process.socket)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for route in self.routes.values():
            route.close()
        for process in self._processes:
            self._do(process.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _do(self, action: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(action, self._loop).result()


def _options(name: str, settings: Settings, store: Store) -> EngineOptions:
    model: ModelSettings | None = settings.models.get(name)
    if model is None or not model.weights:
        known = ", ".join(sorted(one for one, values in settings.models.items() if values.weights))
        raise ConfigError(
            f"there are no weights for the model {name!r}",
            hint=f"Choose one of: {known}; or give the --endpoint that serves it.",
            field="model",
        )
    return EngineOptions(
        model=name,
        weights=store.path(model.weights),
        context=model.context,
        parallel=model.parallel,
        threads=model.threads or default_threads(),
        gpu_layers=model.gpu_layers,
    )

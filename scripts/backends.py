"""Runs swarmd's providers, and with them the main acceptance job, against other people's servers: an
OpenAI-compatible URL, a LiteLLM proxy, and an Ollama-protocol server.

Behind all of them stand the same two weights in swarmd's own engines, whose unix sockets are forwarded to
loopback ports: what is tested is swarmd's clients and those servers' protocols, not Ollama.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.backend_probe import Make, probe
from swarmd.config import ModelSettings, Settings, load
from swarmd.models.providers import Provider
from swarmd.models.providers.ollama import OllamaProvider
from swarmd.models.providers.openai import OpenAiProvider
from swarmd.models.store import Store, default_folder
from tests.acceptance.harness import Daemon
from tests.acceptance.test_main_job import run_main_job

WEIGHTS = {
    "fast": "qwen2.5-coder-0.5b-instruct-q4_k_m",
    "deep": "qwen2.5-coder-1.5b-instruct-q4_k_m",
}
CONTEXT = 4096


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _forward(unix_path: Path) -> int:
    """Forward a loopback port to a unix socket, in the background; returns the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            client, _ = listener.accept()
            upstream = socket.socket(socket.AF_UNIX)
            upstream.connect(str(unix_path))
            for pair in ((client, upstream), (upstream, client)):
                threading.Thread(target=_pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


def _wait(url: str, what: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=5, trust_env=False).status_code == 200:
                return
        time.sleep(0.2)
    raise SystemExit(f"error: {what} does not answer at {url}")


@contextlib.contextmanager
def engines(folder: Path) -> Iterator[dict[str, str]]:
    """Both models behind loopback ports: tier to base URL."""
    settings: Settings = load(folder / "none", os.environ)
    store = Store(default_folder(settings))
    with contextlib.ExitStack() as stack:
        urls = {}
        for tier, weights in WEIGHTS.items():
            path = folder / f"{tier}.sock"
            argv = [sys.executable, "-m", "swarmd.models.engine", f"--weights={store.path(weights)}"]
            argv += [f"--socket={path}", f"--alias={tier}", f"--parent={os.getpid()}"]
            argv += [f"--context={CONTEXT}", "--threads=2"]
            process = stack.enter_context(subprocess.Popen(argv))
            stack.callback(process.kill)
            while not path.exists():
                time.sleep(0.1)
            urls[tier] = f"http://127.0.0.1:{_forward(path)}/v1"
            _wait(f"{urls[tier]}/models", f"the {tier} engine")
        yield urls


@contextlib.contextmanager
def ollama_server(program: str, urls: dict[str, str], folder: Path) -> Iterator[str]:
    """A third-party server that speaks Ollama's protocol in front of the engines."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    env = {**os.environ, "EXTRA_MODELS": ",".join(f"{tier}/{tier}" for tier in urls)}
    for tier, url in urls.items():
        env |= {f"PROVIDERS_{tier.upper()}_BASE_URL": url, f"PROVIDERS_{tier.upper()}_API_KEY": "EMPTY"}
    argv = [program, "--host", "127.0.0.1", "--port", str(port)]  # "serve" would forget both
    with _running(argv, env, folder, "ollama-proxy"):
        _wait(f"http://127.0.0.1:{port}/api/tags", "the Ollama-protocol server")
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def litellm_server(program: str, urls: dict[str, str], folder: Path) -> Iterator[str]:
    """A genuine LiteLLM proxy in front of the engines; it calls nobody else."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    models = [
        {
            "model_name": tier,
            "litellm_params": {"model": f"openai/{tier}", "api_base": url, "api_key": "none"},
        }
        for tier, url in urls.items()
    ]
    settings = {"model_list": models, "litellm_settings": {"num_retries": 0, "telemetry": False}}
    config = folder / "litellm.yaml"
    config.write_text(json.dumps(settings))  # JSON is YAML
    env = os.environ | {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches a list of prices when it starts
        "LITELLM_TELEMETRY": "False",
        # It has no key: it lives for minutes, on the loopback address, and strict privacy sends none.
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    }
    argv = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    with _running(argv, env, folder, "litellm"):
        _wait(f"http://127.0.0.1:{port}/health/readiness", "LiteLLM")
        yield f"http://127.0.0.1:{port}/v1"


@contextlib.contextmanager
def _running(argv: list[str], env: dict[str, str], folder: Path, name: str) -> Iterator[None]:
    """The program, ended afterwards; what it wrote is shown if the block fails."""
    log = folder / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(argv, env=env, stdout=out, stderr=out, cwd=folder)
        try:
            yield
        except BaseException:
            print(log.read_text(errors="replace")[-3000:], file=sys.stderr)
            raise
        finally:
            process.kill()
            process.wait()


def openai_settings(urls: dict[str, str]) -> str:
    tables = [
        f'[models.{tier}]\nprovider = "openai"\nname = "{tier}"\nbase_url = "{url}"\ncontext = {CONTEXT}\n'
        for tier, url in urls.items()
    ]
    return '[tiers]\nfast = "fast"\ndeep = "deep"\nreviewer = "deep"\n' + "".join(tables)


def ollama_settings(host: str) -> str:
    tables = [
        f'[models.{tier}]\nprovider = "ollama"\nname = "{tier}/{tier}"\ncontext = {CONTEXT}\n'
        for tier in WEIGHTS
    ]
    tiers = '[tiers]\nfast = "fast"\ndeep = "deep"\nreviewer = "deep"\n'
    return f'{tiers}[ollama]\nhost = "{host}"\n' + "".join(tables)


def run(name: str, settings: str, folder: Path) -> None:
    print(f"== {name}", flush=True)
    began = time.time()
    daemon = Daemon(folder / name, settings)
    try:
        run_main_job(daemon, folder / name)
    finally:
        daemon.close()
    print(f"== {name}: green in {time.time() - began:.0f} s", flush=True)


def probe_openai(url: str) -> Make:
    """Providers of the OpenAI-compatible server at ``url``."""

    def make(name: str = "fast", context: int = CONTEXT) -> Provider:
        return OpenAiProvider(name, ModelSettings(name=name, context=context), url=url, local=True)

    return make


def probe_ollama(host: str) -> Make:
    """Providers of the Ollama-protocol server at ``host``."""

    def make(name: str = "fast/fast", context: int = CONTEXT) -> Provider:
        settings = ModelSettings(name=name, context=context)
        return OllamaProvider("fast", settings, host=host, keep_alive="10m", local=True)

    return make


KNOWN: dict[str, dict[str, set[str]]] = {
    "openai": {},
    "litellm": {},
    # It says "Internal Server Error" for what the engine behind it says better.
    "ollama": {"vectors": {"E-MODEL-DOWN"}},
}


def test(name: str, urls: dict[str, str], folder: Path, *, only_probe: bool) -> int:
    """The probe, and unless ``only_probe`` the acceptance job after it; the number of failures."""
    url, is_ollama = urls["fast"], name == "ollama"
    failed = asyncio.run(probe(name, probe_ollama(url) if is_ollama else probe_openai(url), KNOWN[name]))
    if not only_probe:
        run(name, ollama_settings(url) if is_ollama else openai_settings(urls), folder)
    return failed


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--proxy", required=True, help="the ollama-proxy program")
    parser.add_argument("--litellm", required=True, help="the litellm program")
    parser.add_argument("--only-probe", action="store_true", help="without the acceptance job")
    parser.add_argument("which", nargs="*", default=["openai", "litellm", "ollama"])
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="swarmd-backends-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        urls = stack.enter_context(engines(folder))
        for which in options.which:
            with contextlib.ExitStack() as servers:
                at = urls
                if which == "litellm":
                    url = servers.enter_context(litellm_server(options.litellm, urls, folder))
                    at = dict.fromkeys(urls, url)
                elif which == "ollama":
                    url = servers.enter_context(ollama_server(options.proxy, urls, folder))
                    at = dict.fromkeys(urls, url)
                failed += test(which, at, folder, only_probe=options.only_probe)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

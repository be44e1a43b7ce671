"""Runs the main acceptance job against an Ollama-protocol server and an OpenAI-compatible URL.

Behind both stand the same two weights in swarmd's own engines, whose unix sockets are forwarded to
loopback ports: what is tested is swarmd's clients, not Ollama.
"""

from __future__ import annotations

import argparse
import contextlib
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

from swarmd.config import Settings, load
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
    log = (folder / "proxy.log").open("wb")
    argv = [program, "--host", "127.0.0.1", "--port", str(port)]  # "serve" would forget both
    process = subprocess.Popen(argv, env=env, stdout=log, stderr=log, cwd=folder)
    try:
        _wait(f"http://127.0.0.1:{port}/api/tags", "the Ollama-protocol server")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        log.close()


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


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--proxy", required=True, help="the ollama-proxy program")
    parser.add_argument("which", nargs="*", default=["openai", "ollama"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="swarmd-backends-") as name:
        folder = Path(name)
        with engines(folder) as urls:
            if "openai" in options.which:
                run("openai", openai_settings(urls), folder)
            if "ollama" in options.which:
                with ollama_server(options.proxy, urls, folder) as host:
                    run("ollama", ollama_settings(host), folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())

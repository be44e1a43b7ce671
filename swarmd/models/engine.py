"""The engine: a process that serves one GGUF on a unix socket, with llama.cpp inside.

A process of its own, because an abort in C++ cannot be caught. The broker starts it as
``python -m swarmd.models.engine``; it ends when the broker ends, however that happens.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swarmd.errors import WeightsError
from swarmd.models.gguf import BATCH, CACHE_BYTES, gpu_layers_that_fit, read_metadata, read_shape

__all__ = ["main"]

PR_SET_PDEATHSIG = 1
SPIN_COUNT = "10000"
"""How long an idle thread spins before it sleeps. The default is without end: beside two other busy
processes on two cores that made a 5 s reply last 178 s; with this it is 8 s, and 4 s alone as before."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until the parent ends. Exit status 1 when the model cannot be loaded. With ``--devices`` only
    say, as JSON, which GPUs can be used."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--devices"]:
        return _print_devices()
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the master's to handle
    _die_with(options.parent)
    os.umask(0o077)
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)
    try:
        import xllamacpp

        server = xllamacpp.Server(_params(xllamacpp, options))
    except ImportError as error:
        print(f"install the extra swarmd[embedded]: {error}", file=sys.stderr)
        return 1
    except (RuntimeError, WeightsError) as error:
        print(f"{options.weights} cannot be loaded: {error}", file=sys.stderr)
        return 1
    while os.getppid() == options.parent:
        time.sleep(1.0)
    del server
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="swarmd.models.engine", description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="the GGUF file")
    parser.add_argument("--socket", type=Path, required=True, help="where to listen; under 108 bytes")
    parser.add_argument("--alias", required=True, help="the model's name for clients")
    parser.add_argument("--parent", type=int, required=True, help="pid of the process to end with")
    parser.add_argument("--context", type=int, required=True, help="tokens of one call")
    parser.add_argument("--parallel", type=int, default=1, help="slots")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--gpu-layers", default="auto", help="a number, or auto")
    parser.add_argument("--cache-type", choices=list(CACHE_BYTES), default="f16")
    parser.add_argument("--embeddings", action="store_true", help="answer with embeddings, too")
    return parser


def _print_devices() -> int:
    try:
        import xllamacpp
    except ImportError:
        return 1
    print(json.dumps({"gpus": _free_gpus(xllamacpp)}))
    return 0


def _die_with(parent: int) -> None:
    """Have the kernel end this process when its parent does; ``main`` also looks, where it cannot."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel was asked
        raise SystemExit(0)


def _params(xllamacpp: Any, options: argparse.Namespace) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = str(options.weights)
    params.model_alias = {options.alias}
    params.hostnames = [str(options.socket)]
    tokens = options.context * options.parallel  # llama.cpp divides it by the slots
    params.n_ctx = tokens
    params.n_parallel = options.parallel
    params.n_batch = params.n_ubatch = BATCH
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    params.n_gpu_layers = _gpu_layers(xllamacpp, options, tokens)
    params.fit_params = False  # it would change the context
    if options.embeddings:
        params.embedding = True
        if not any(key.endswith(".pooling_type") for key in read_metadata(options.weights)):
            # A model made for replies does not say how its tokens' vectors become one.
            params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.cache_type_k = params.cache_type_v = getattr(
        xllamacpp.ggml_type, f"GGML_TYPE_{options.cache_type.upper()}"
    )
    # Another conversation's cache must not reach a reply (ggml-org/llama.cpp#27148).
    params.cache_ram_mib = 0
    params.cache_idle_slots = False
    params.cors_origins = ""
    params.cors_credentials = False
    params.ui = False
    params.endpoint_slots = False
    params.offline = True
    params.verbosity = 1
    return params


def _gpu_layers(xllamacpp: Any, options: argparse.Namespace, tokens: int) -> int:
    if options.gpu_layers != "auto":
        return int(options.gpu_layers)
    free = _free_gpus(xllamacpp)
    if not free:
        return 0
    return gpu_layers_that_fit(read_shape(options.weights), tokens, max(free), options.cache_type)


def _free_gpus(xllamacpp: Any) -> list[int]:
    """The free memory of each GPU that this build can use, in bytes."""
    gpu = xllamacpp.ggml_backend_dev_type.GGML_BACKEND_DEVICE_TYPE_GPU
    return [int(device["memory_free"]) for device in xllamacpp.get_device_info() if device["type"] == gpu]


if __name__ == "__main__":
    sys.exit(main())

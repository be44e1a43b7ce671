#!/usr/bin/env bash
# The acceptance run on other people's protocols: an Ollama server (a third party's, in front of llama.cpp) and an
# OpenAI-compatible URL. Not part of scripts/test.sh. Usage: scripts/backends.sh [ollama|openai]...
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/bootstrap.sh embedded,dev
.venv/bin/swarmd model pull
cache=${XDG_CACHE_HOME:-$HOME/.cache}/swarmd
if [ ! -x "$cache/ollama-proxy/bin/ollama-proxy" ]; then
  echo "== Installing a third-party Ollama-protocol server into $cache/ollama-proxy"
  .venv/bin/python -m venv "$cache/ollama-proxy"
  "$cache/ollama-proxy/bin/python" -m pip install --quiet --disable-pip-version-check ollama-proxy-plus==0.1.0
fi
exec .venv/bin/python scripts/backends.py --proxy "$cache/ollama-proxy/bin/ollama-proxy" "$@"

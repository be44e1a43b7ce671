#!/usr/bin/env bash
# swarmd's providers on other people's protocols: an OpenAI-compatible URL, a real LiteLLM proxy, and an Ollama server
# (a third party's), all in front of llama.cpp; first each by itself, then the acceptance job on it.
# Not part of scripts/test.sh. Usage: scripts/backends.sh [--only-probe] [openai|litellm|ollama]...
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/bootstrap.sh embedded,dev
.venv/bin/swarmd model pull
cache=${XDG_CACHE_HOME:-$HOME/.cache}/swarmd
install() {  # NAME PROGRAM PACKAGE: a program of a package in an environment of its own
  [ -x "$cache/$1/bin/$2" ] && return
  echo "== Installing $3 into $cache/$1"
  .venv/bin/python -m venv "$cache/$1"
  "$cache/$1/bin/python" -m pip install --quiet --disable-pip-version-check "$3"
}
install ollama-proxy ollama-proxy ollama-proxy-plus==0.1.0
install litellm litellm 'litellm[proxy]==1.105.0'
exec .venv/bin/python scripts/backends.py --proxy "$cache/ollama-proxy/bin/ollama-proxy" \
  --litellm "$cache/litellm/bin/litellm" "$@"

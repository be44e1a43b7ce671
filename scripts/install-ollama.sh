#!/usr/bin/env bash
# Installs Ollama, pulls the models that swarmd.toml names, and runs one inference through swarmd.
# Needs a network. Usage: scripts/install-ollama.sh [model]...
set -euo pipefail
cd "$(dirname "$0")/.."
models=("$@")

if ! command -v ollama >/dev/null; then
  case $(uname -s) in
    Linux)
      installer=$(mktemp)
      trap 'rm -f "$installer"' EXIT
      echo "== Fetching Ollama's installer"
      curl -fsSL --proto '=https' --tlsv1.2 https://ollama.com/install.sh -o "$installer"
      sh "$installer"
      ;;
    Darwin)
      command -v brew >/dev/null || { echo "error: install Homebrew or Ollama's app first" >&2; exit 1; }
      brew install ollama
      ;;
    *)
      echo "error: no way is known to install Ollama on $(uname -s)" >&2
      exit 1
      ;;
  esac
fi

if ! ollama list >/dev/null 2>&1; then
  echo "== Starting Ollama without its cloud features"
  OLLAMA_NO_CLOUD=1 nohup ollama serve >"${TMPDIR:-/tmp}/ollama-serve.log" 2>&1 &
  for _ in $(seq 60); do
    ollama list >/dev/null 2>&1 && break
    sleep 0.5
  done
  ollama list >/dev/null || { echo "error: Ollama does not answer. hint: see ${TMPDIR:-/tmp}/ollama-serve.log" >&2; exit 1; }
fi

scripts/bootstrap.sh ""
if [ ${#models[@]} = 0 ]; then
  mapfile -t models < <(.venv/bin/swarmd model list --json | .venv/bin/python -c '
import json, sys
tiers = json.load(sys.stdin)["tiers"]
print("\n".join(sorted({t["name"] for t in tiers if t["provider"] in ("auto", "ollama") and t["name"]})))')
fi
for model in "${models[@]}"; do
  echo "== Pulling $model"
  ollama pull "$model"
done

echo "== One inference through swarmd"
exec .venv/bin/swarmd model test

#!/usr/bin/env bash
# From a fresh clone to a verified git branch, with real models on this machine. Asks nothing.
# Usage: scripts/demo.sh [--mock]
#   --mock   a scripted model instead of a real one: takes seconds and fetches no weights
set -euo pipefail
cd "$(dirname "$0")/.."
began=$(date +%s.%N)
extras=embedded
for argument in "$@"; do
  case $argument in
    --mock) extras="" ;;
    *) sed -n '2,5p' "$0" >&2; exit 2 ;;
  esac
done
scripts/bootstrap.sh "$extras"
exec .venv/bin/python scripts/demo.py --began "$began" "$@"

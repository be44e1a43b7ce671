#!/usr/bin/env bash
# Installs what the tests need, then runs them all: format, lint, types, unit, integration, acceptance.
# Usage: scripts/test.sh [unit|integration|acceptance|lint]...    (default: all)
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/bootstrap.sh embedded,dev

say() { printf '\n== %s (%s)\n' "$*" "$(date +%T)"; }
wanted=${*:-lint unit integration acceptance}

for part in $wanted; do
  case $part in
    lint)
      say "ruff"
      .venv/bin/ruff format --check swarmd tests scripts benchmarks
      .venv/bin/ruff check swarmd tests scripts benchmarks
      say "mypy"
      .venv/bin/mypy
      ;;
    unit)
      say "unit tests"
      .venv/bin/python -m pytest -n auto tests/unit
      ;;
    integration | acceptance)
      # Real models: fetched once into a cache outside the tree, checked by their hash.
      say "weights"
      .venv/bin/swarmd model pull
      say "$part tests"
      # Acceptance tests run one by one: the real models need the cores.
      workers=auto
      if [ "$part" = acceptance ]; then workers=0; fi
      .venv/bin/python -m pytest -n "$workers" "tests/$part"
      ;;
    *)
      echo "error: no tests called $part. hint: unit, integration, acceptance, lint" >&2
      exit 2
      ;;
  esac
done
say "all green"

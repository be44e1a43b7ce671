#!/usr/bin/env bash
# Makes .venv with swarmd and the given extras, and installs the system packages that the sandbox needs.
# Usage: scripts/bootstrap.sh [extras]     (default: embedded)
set -euo pipefail
cd "$(dirname "$0")/.."
extras=${1-embedded}

say() { printf '\n== %s\n' "$*"; }

python=${PYTHON:-}
if [ -z "$python" ]; then
  for candidate in python3.13 python3.12 python3.11 python3; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      python=$candidate
      break
    fi
  done
fi
if [ -z "$python" ]; then
  echo "error: swarmd needs Python 3.11 or newer. hint: apt-get install python3 python3-venv" >&2
  exit 1
fi

# Installs Debian packages as root, or through sudo where it asks nothing; otherwise says what to type.
need() {
  local program=$1 package=$2
  command -v "$program" >/dev/null && return 0
  local as_root=()
  if [ "$(id -u)" != 0 ]; then as_root=(sudo -n); fi
  if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
    say "Installing $package"
    "${as_root[@]}" apt-get update -qq && "${as_root[@]}" apt-get install -y -qq "$package" >/dev/null
  else
    echo "warning: $program is missing. hint: sudo apt-get install $package" >&2
  fi
}
need git git
need bwrap bubblewrap
case ",$extras," in *,dev,*) need strace strace ;; esac # the proof of strict privacy

if [ ! -x .venv/bin/python ]; then
  say "Making .venv with $("$python" --version)"
  if ! "$python" -m venv .venv; then
    rm -rf .venv
    need_venv="$("$python" -c 'import sys; print(f"python3.{sys.version_info[1]}-venv")')"
    echo "error: this Python cannot make virtual environments. hint: sudo apt-get install $need_venv" >&2
    exit 1
  fi
fi

stamp=.venv/.swarmd-$(printf '%s' "$extras" | tr ',' '-')-$(sha256sum pyproject.toml | cut -c1-16)
if [ ! -e "$stamp" ]; then
  say "Installing swarmd[$extras]"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".${extras:+[$extras]}"
  touch "$stamp"
fi

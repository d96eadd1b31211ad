#!/usr/bin/env bash
# Turns requirements.lock into the project's own virtual environment, .venv, once per version of the lock.
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=.venv/installed
wanted=$(cat requirements.lock pyproject.toml | sha256sum)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && exit 0

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON" >&2; exit 1; }
say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
pip=".venv/bin/python -m pip --quiet --disable-pip-version-check"

say "Making .venv"
"$python" -m venv .venv
say "Installing torch (LIFT_TORCH_INDEX names an index to take it from, such as one with CPU builds)"
$pip install ${LIFT_TORCH_INDEX:+--index-url "$LIFT_TORCH_INDEX"} "$(grep '^torch==' requirements.lock)"
say "Installing the $(grep -c == requirements.lock) packages of requirements.lock"
grep -v '^torch==' requirements.lock | $pip install --no-deps -r /dev/stdin
say "Installing the project"
$pip install --no-deps --editable .
.venv/bin/python -c 'import torch, vllm' || { echo "torch and vLLM do not import together: the last line above says why" >&2; exit 1; }
echo "$wanted" > "$stamp"

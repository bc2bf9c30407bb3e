#!/bin/sh
# Builds the wheel that the .vsix carries, with the versions it is installed with, into bundled/.
#
#   PYTHON   an interpreter with pip (default: the repository's .venv, else python3)
set -eu
cd "$(dirname "$0")/.."
python="${PYTHON:-$(command -v ../.venv/bin/python || command -v python3)}"
rm -rf bundled
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir bundled ..
cp ../constraints.txt bundled/

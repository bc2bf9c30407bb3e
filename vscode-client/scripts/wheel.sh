#!/bin/sh
# Builds the wheel that the .vsix carries, with the versions it is installed with, into bundled/.
# With a C++ compiler, the decode step is compiled into it, and it is for this kind of machine.
#
#   ATTUNE_WHEEL            a wheel to carry instead of building one
#   PYTHON                  an interpreter with pip (default: the repository's .venv, else python3)
#   ATTUNE_WHEEL_PLATFORM   "any": for all machines, with the decode step as source
set -eu
cd "$(dirname "$0")/.."
python="${PYTHON:-$(command -v ../.venv/bin/python || command -v python3)}"
rm -rf bundled
if [ -n "${ATTUNE_WHEEL:-}" ]; then
  mkdir bundled
  cp "$ATTUNE_WHEEL" bundled/
else
  "$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir bundled ..
fi
cp ../constraints.txt bundled/

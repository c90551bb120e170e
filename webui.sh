#!/usr/bin/env bash
# Installs what is missing, then starts the page. All flags are passed on to app.py: ./webui.sh --help
set -eu
cd "$(dirname "$0")"
. tools/install.sh
install_requirements requirements.txt
exec .venv/bin/python app.py "$@"

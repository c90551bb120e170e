#!/usr/bin/env bash
# Installs what is missing, then starts the page. Flags of its own, before all others: --skip-torch leaves torch alone,
# --torch BUILD takes this build, --plan says what would be installed, --install-only starts nothing (docs/install.md).
# All other flags are passed on to app.py: ./webui.sh --help
set -eu
cd "$(dirname "$0")"
. tools/install.sh
flags=() only=
while [ $# -gt 0 ]; do
    case $1 in
        --skip-torch) flags+=("$1") ;;
        --plan) flags+=("$1") only=1 ;;
        --install-only) only=1 ;;
        --torch) flags+=("$1" "${2:?--torch needs the name of a build, such as cpu}"); shift ;;
        *) break ;;
    esac
    shift
done
install_requirements requirements.txt ${flags[@]+"${flags[@]}"}
[ -z "$only" ] || exit 0
exec .venv/bin/python app.py "$@"

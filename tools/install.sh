# shellcheck shell=bash
# Sourced by webui.sh and test.sh: a virtual environment in .venv, in which tools/install.py installs the packages.

fits() { # python
    command -v "$1" >/dev/null 2>&1 &&
        "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1
}

make_environment() {
    fits .venv/bin/python && return 0
    local python
    if [ -n "${PYTHON:-}" ] && ! fits "$PYTHON"; then
        echo "error: '$PYTHON' is no Python 3.11 to 3.14. Leave PYTHON out, or name another one." >&2
        return 1
    fi
    for python in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.14 python; do
        fits "$python" || continue
        echo "Making the environment .venv with $("$python" --version) ..."
        "$python" -m venv --clear .venv >/dev/null 2>&1 && return 0
    done
    # uv brings a Python of its own, about 30 MB, where there is none, or none that can make environments
    if command -v uv >/dev/null 2>&1; then
        echo "Making the environment .venv with uv ..."
        uv venv --quiet --clear --seed --python '>=3.11,<3.15' .venv && return 0
    fi
    echo "error: No Python 3.11 to 3.14 was found that can make an environment. On Debian and Ubuntu:" \
        "sudo apt install python3-venv. Elsewhere install Python 3.13 or uv (docs.astral.sh/uv), then start again." >&2
    return 1
}

install_requirements() { # requirements file, flags of tools/install.py
    local requirements=$1
    shift
    make_environment && .venv/bin/python tools/install.py --requirements "$requirements" "$@"
}

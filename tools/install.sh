# Sourced by webui.sh and test.sh: a virtual environment in .venv with the packages of a requirements file.
# Nothing is installed twice: a stamp remembers what was, and a torch that is already there is kept, whatever its build.

install_requirements() { # requirements file
    local requirements=$1 python=${PYTHON:-python3}
    if [ ! -x .venv/bin/python ]; then
        echo "Making the environment .venv ..."
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; '$python' is older. Set PYTHON=... to choose another." >&2; return 1; }
        "$python" -m venv .venv || { echo "The environment could not be made. On Debian and Ubuntu: sudo apt install python3-venv" >&2; return 1; }
    fi
    local stamp
    stamp=.venv/installed-$(cat requirements.txt requirements-over.txt requirements-lock.txt "$requirements" | cksum | cut -d' ' -f1)
    [ -e "$stamp" ] && return 0
    echo "Installing the packages of $requirements (once; some minutes) ..."
    local wanted=.venv/wanted.txt
    cat requirements.txt "$requirements" | grep -v '^-r ' | sort -u > "$wanted"
    if .venv/bin/python -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)'; then
        grep -v '^torch==' "$wanted" > "$wanted.kept" && mv "$wanted.kept" "$wanted"
    fi
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$wanted" -c requirements-lock.txt || { echo "The installation failed; see the lines above, then start again." >&2; return 1; }
    # In a command of its own, because pip refuses what another package's bound forbids (requirements-over.txt says why).
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-over.txt || { echo "The installation failed; see the lines above, then start again." >&2; return 1; }
    touch "$stamp"
}

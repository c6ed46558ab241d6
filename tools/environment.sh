#!/bin/sh
# Makes a virtual environment, or completes the one that is there, and installs this project into it.
#
#     sh tools/environment.sh FOLDER EXTRAS        as: .venv dev
#
# PYTHON names the interpreter (default python3). TORCH_INDEX is a package index that pip asks for PyTorch besides
# its own. Exit status 1: one line says what is missing and what to do.
set -eu

folder=$1
extras=$2
python=${PYTHON:-python3}

missing() {
    echo "$*" >&2
    exit 1
}

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2> /dev/null) ||
    missing "PYTHON is '$python', which does not run: install Python 3.10 to 3.13" \
        "(Debian: apt-get install python3 python3-venv) or name one, as PYTHON=python3.12."

case $version in
    3.10 | 3.11 | 3.12 | 3.13) ;;
    *) missing "PYTHON is '$python', which is Python $version: 3.10 to 3.13 is needed; name one, as PYTHON=python3.12." ;;
esac

if "$folder/bin/python" -m pip --version > /dev/null 2>&1; then
    echo "== environment: $folder is there, bringing it up to date =="
else
    echo "== environment: making $folder with Python $version =="
    "$python" -c 'import venv, ensurepip' 2> /dev/null ||
        missing "'$python' has no venv module: apt-get install python$version-venv (Debian, Ubuntu)."
    "$python" -m venv "$folder"
fi

set -- -e ".[$extras]"
if [ -n "${TORCH_INDEX:-}" ]; then
    set -- --extra-index-url "$TORCH_INDEX" "$@"
elif [ "$(uname -s)" = Linux ] && ! "$folder/bin/python" -c 'import torch' 2> /dev/null; then
    echo "PyTorch comes with CUDA, some GB; the CPU build is smaller: TORCH_INDEX=https://download.pytorch.org/whl/cpu"
fi
echo "== environment: pip install $* =="
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@" ||
    missing "pip could not install the project, its own message is above; behind a mirror set PIP_INDEX_URL."

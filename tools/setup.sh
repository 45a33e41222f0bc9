#!/usr/bin/env bash
# Set up everything the project needs: system packages where it may, the Python environment in $1,
# and PlatformIO's offline core. What it may not install it names, and stops.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}

. tools/system_packages.sh

# --- a Python of at least 3.11 -------------------------------------------------------------------
python=
for candidate in "${PYTHON:-}" python3 python3.11 python3.12 python3.13; do
    if [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))'; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    say "no Python 3.11, 3.12 or 3.13 found; install one, or name it: PYTHON=/path/to/python make setup"
    exit 1
fi

# --- system packages: each with a test of the thing it brings ------------------------------------
arm_library() {
    local file
    file=$(arm-none-eabi-gcc -print-file-name="$1" 2>/dev/null) && [ -f "$file" ]
}
need gcc command -v gcc
need libc6-dev test -f /usr/include/stdio.h
need g++ command -v g++
need gcc-arm-none-eabi command -v arm-none-eabi-gcc
need libnewlib-arm-none-eabi arm_library libc.a
need libstdc++-arm-none-eabi-newlib arm_library libstdc++.a
need qemu-system-arm command -v qemu-system-arm
need python3-venv "$python" -c 'import ensurepip'
install_missing

# --- Python packages, exactly the locked ones ----------------------------------------------------
if [ ! -x "$venv/bin/python" ]; then
    say "making $venv with $("$python" --version)"
    "$python" -m venv "$venv"
fi
say "installing Python packages (a few minutes the first time)"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
"$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .

# --- PlatformIO without its registry -------------------------------------------------------------
"$venv/bin/python" tools/setup_platformio.py
say "ready"

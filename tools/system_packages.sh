# Functions for set-up scripts, which source this: name the Debian packages that are missing, then
# install them where that is allowed, or name them and stop.

say() { printf '[setup] %s\n' "$*"; }

missing=()

need() { # need PACKAGE TEST...: PACKAGE is missing unless TEST, of the thing it brings, passes
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || missing+=("$package")
}

install_missing() {
    [ ${#missing[@]} -eq 0 ] && return
    local as_root=
    if [ "$(id -u)" -ne 0 ]; then
        if sudo -n true 2>/dev/null; then as_root="sudo -n"; else as_root=none; fi
    fi
    if [ "$as_root" = none ] || ! command -v apt-get >/dev/null 2>&1; then
        say "missing: ${missing[*]}"
        say "install them (Debian names), for example: sudo apt-get install ${missing[*]}"
        exit 1
    fi
    say "installing system packages: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    $as_root apt-get update -qq
    $as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# SPDX-License-Identifier: LGPL-2.1-or-later
#
# lib.sh: what the scripts share. Sourced by bash, with $top set to the source tree.

say() { printf '\n== %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

build_packages=(g++ meson ninja-build pkg-config libasound2-dev libfmt-dev)
test_packages=(doctest-dev libboost-context-dev)
run_packages=(alsa-utils python3 python3-numpy)

# Programs that keep things at home need one that can be written to.
if [ ! -w "${HOME:-/nonexistent}" ]; then
    export HOME=$top/build/home
    mkdir -p "$HOME"
fi
export LC_ALL=C.UTF-8

installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

# apt_install PACKAGE...: waits for others who install, and tries three times. What went wrong is in
# build/apt.log.
apt_install() {
    local as_root=() apt=(apt-get -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3) log=$top/build/apt.log try
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "there is no sudo"; return 1; }
        as_root=(sudo)
    fi
    mkdir -p "$top/build"
    for try in 1 2 3; do
        [ $try -eq 1 ] || sleep 10
        {
            printf '\n-- try %d: %s\n' $try "$*"
            # Somebody may have been interrupted while he installed.
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive dpkg --configure -a --force-confdef --force-confold ||
                echo "dpkg --configure -a failed"
            "${as_root[@]}" "${apt[@]}" update -q || echo "apt-get update failed; perhaps the old lists will do"
        } >>"$log" 2>&1 </dev/null
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y -q --no-install-recommends "$@" \
            >>"$log" 2>&1 </dev/null && return 0
        printf 'apt-get install failed (try %d of 3):\n' $try
        tail -n 8 "$log"
    done
    return 1
}

# Installs the Debian packages that are missing, as root or with sudo.
need_packages() {
    local missing=() package
    for package in "$@"; do installed "$package" || missing+=("$package"); done
    [ ${#missing[@]} -eq 0 ] && return 0
    say "installing ${missing[*]}"
    apt_install "${missing[@]}" || die "these packages are missing, and could not be installed: ${missing[*]}"
}

# The same, but what cannot be had is only told: the tests that need it are skipped.
want_packages() {
    local missing=() package
    for package in "$@"; do installed "$package" || missing+=("$package"); done
    [ ${#missing[@]} -eq 0 ] && return 0
    say "installing ${missing[*]}"
    apt_install "${missing[@]}" && return 0
    for package in "${missing[@]}"; do # one by one: who is missing keeps nobody else out
        { [ ${#missing[@]} -gt 1 ] && apt_install "$package" >/dev/null; } ||
            printf 'NOT INSTALLED: %s (why: %s)\n' "$package" "$top/build/apt.log"
    done
    return 0
}

# Shows how far ninja is: on a terminal in one line, else every tenth.
show_progress() {
    local line shown=-1 tenth
    while IFS= read -r line; do
        [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]] || continue
        tenth=$((10 * BASH_REMATCH[1] / BASH_REMATCH[2]))
        if [ -t 1 ]; then
            printf '\r%s of %s files ' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
        elif [ $tenth -gt $shown ]; then
            printf '%s of %s files\n' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
            shown=$tenth
        fi
    done
    [ ! -t 1 ] || printf '\n'
}

# build DIR [meson options]: configures once, builds, shows how far it is.
build() {
    local dir=$1
    shift
    mkdir -p "$(dirname "$dir")"
    if [ ! -f "$dir/build.ninja" ]; then
        meson setup "$dir" "$top" "$@" >"$dir.log" 2>&1 || { tail -n 40 "$dir.log"; die "meson setup failed"; }
    fi
    if ! (set -o pipefail && NINJA_STATUS='[%f/%t] ' ninja -C "$dir" 2>&1 </dev/null | tee "$dir.log" | show_progress); then
        tail -n 60 "$dir.log"
        die "the build in $dir failed"
    fi
}

# use_build DIR: libasound and the shell find the plugin, its configuration and the programs there.
use_build() {
    export ALSA_CONFIG_PATH=$1/alsa-conf/devenv.conf RINGMIX_SERVER=$1/server/ringmixd
    export PATH=$1/server:$1/server/ctl:$PATH
}

# wait_until SECONDS COMMAND...: until the command succeeds.
wait_until() {
    local end=$(($(date +%s%N) + $1 * 1000000000))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s%N)" -lt "$end" ] || return 1
        sleep 0.02
    done
}

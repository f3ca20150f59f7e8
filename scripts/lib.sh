# SPDX-License-Identifier: LGPL-2.1-or-later
#
# lib.sh: what the scripts share. Sourced by bash, with $top set to the source tree.

say() { printf '\n== %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Installs the Debian packages that are missing, as root or with sudo.
need_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "these packages are missing, and there is no sudo: ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing ${missing[*]}"
    "${as_root[@]}" apt-get update -qq || die "apt-get update failed"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null || die "apt-get install failed"
}

build_packages=(g++ meson ninja-build pkg-config libasound2-dev libfmt-dev doctest-dev)
run_packages=(alsa-utils python3 python3-numpy)

# build DIR [meson options]: configures once, builds.
build() {
    local dir=$1
    shift
    mkdir -p "$(dirname "$dir")"
    if [ ! -f "$dir/build.ninja" ]; then
        meson setup "$dir" "$top" "$@" >"$dir.log" 2>&1 || { cat "$dir.log" >&2; die "meson setup failed"; }
    fi
    ninja -C "$dir" >"$dir.log" 2>&1 || { tail -60 "$dir.log" >&2; die "the build in $dir failed"; }
}

# use_build DIR: libasound and the shell find the plugin, its configuration and the programs there.
use_build() {
    export ALSA_PLUGIN_DIR=$1/plugin ALSA_CONFIG_PATH=$1/alsa-conf/devenv.conf RINGMIX_SERVER=$1/server/ringmixd
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

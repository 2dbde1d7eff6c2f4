# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What deploy/demo and tests/run need before their own work: packages by apt, and a build.
# Sourced, not run. Works as root or with sudo; on a machine that has everything it changes nothing.

hf_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

hf_say() { printf '\033[1m==\033[0m %s\n' "$*"; }
hf_die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# As root: by itself when we are root, by sudo otherwise.
hf_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        hf_die "this needs root: run it as root or install sudo"
    fi
}

# hf_packages GROUP…: the names in packages.txt, one a line.
hf_packages() {
    local group
    for group in "$@"; do
        sed -n "s/^$group: *//p" "$hf_top/deploy/lib/packages.txt"
    done | tr -s ' ' '\n'
}

hf_missing() {
    local name
    for name in $(hf_packages "$@"); do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] || echo "$name"
    done
}

# Runs as root in one shell: no service of a package that is new here starts, now or at the next
# boot, and Debian makes no database cluster of its own. Files put in place for that are removed.
hf_install_quietly='
set -eu
policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.d/holdfast-bootstrap.conf
made=""
undo() { for f in $made; do rm -f "$f"; done; }
trap undo EXIT
if [ ! -e "$policy" ]; then
    made="$policy"
    printf "#!/bin/sh\nexit 101\n" >"$policy"
    chmod 755 "$policy"
fi
if ! dpkg-query -W -f "\${db:Status-Status}" postgresql-common 2>/dev/null | grep -q "^installed"; then
    made="$made $cluster"
    mkdir -p "${cluster%/*}"
    printf "create_main_cluster = false\n" >"$cluster"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -y -q --no-install-recommends "$@"
for unit in etcd pdns postgresql knot haproxy bind9; do
    case " $* " in
    *" $unit-server "* | *" $unit "* | *" $unit-15 "*)
        if [ -d /run/systemd/system ]; then
            [ "$unit" != bind9 ] || unit=named
            systemctl disable --now "$unit" >/dev/null 2>&1 || true
        fi ;;
    esac
done
'

# hf_install GROUP…: installs what is missing of these groups.
hf_install() {
    local missing log
    missing=$(hf_missing "$@" | sort -u | tr '\n' ' ')
    [ -n "${missing// /}" ] || return 0
    [ -f /etc/debian_version ] || hf_die "missing packages, and this is not Debian: $missing"
    hf_say "apt installs: $missing"
    log=$(mktemp)
    # shellcheck disable=SC2086
    if ! hf_root sh -c "$hf_install_quietly" install $missing >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        rm -f "$log"
        hf_die "apt could not install what is missing"
    fi
    rm -f "$log"
}

# hf_build DIR [cmake option…] [-- ninja target…]: configures and builds DIR (below the repository).
hf_build() {
    local dir=$1 options=() log
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    [ $# -eq 0 ] || shift
    log=$(mktemp)
    if ! { cmake -S "$hf_top" -B "$hf_top/$dir" -G Ninja "${options[@]}" &&
        ninja -C "$hf_top/$dir" "$@"; } >"$log" 2>&1; then
        grep -E 'error|FAILED|undefined|CMake' -A4 "$log" | head -n 80 >&2
        rm -f "$log"
        hf_die "the build in $dir failed"
    fi
    rm -f "$log"
}

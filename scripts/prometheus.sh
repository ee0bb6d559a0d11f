#!/usr/bin/env bash
# Puts prometheus, promtool and amtool into the target folder, for the tests of ops/: those that
# are installed, else unpacked out of Debian's or Ubuntu's packages. Nothing is installed, nobody needs to be root, no
# service starts. Silent and quick when all is there. Prints the folder.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=${CARGO_TARGET_DIR:-target}/tools
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)
bin=$tools/prometheus/bin
programs=(prometheus promtool amtool)

complete() {
    local program
    for program in "${programs[@]}"; do [ -x "$bin/$program" ] || return 1; done
}

# Installed by whoever owns this machine.
link_installed() {
    local program path
    for program in "${programs[@]}"; do
        path=$(command -v "$program") || return 1
        ln -sfn "$path" "$bin/$program"
    done
}

# apt with lists and cache of our own: the system's may be empty, stale, or another's to change.
own_apt() {
    mkdir -p "$tools/apt/lists/partial" "$tools/apt/cache/archives/partial"
    timeout 300 apt-get -qq -o Dir::State::lists="$tools/apt/lists" -o Dir::Cache="$tools/apt/cache" -o Debug::NoLocking=1 \
        -o APT::Sandbox::User=root "$@"
}

unpack_packages() {
    local part=$tools/prometheus.part packages=(prometheus prometheus-alertmanager) deb
    rm -rf "$part"
    mkdir -p "$part"
    echo "prometheus: fetching Debian's packages (30 MB, once) …" >&2
    (
        cd "$part"
        timeout 300 apt-get -qq -o APT::Sandbox::User=root download "${packages[@]}" >/dev/null 2>&1 ||
            { own_apt update && own_apt download "${packages[@]}"; } >&2
    )
    for deb in "$part"/*.deb; do dpkg -x "$deb" "$part"; done
    for program in "${programs[@]}"; do cp "$part/usr/bin/$program" "$bin/"; done
    rm -rf "$part" "$tools/apt"
}

mkdir -p "$bin"
if ! complete; then
    exec 9>"$tools/prometheus/lock"
    flock 9
    if ! complete && ! link_installed; then
        if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
            echo "prometheus: install Prometheus (2.42 or later) and Alertmanager, so that ${programs[*]} are found" >&2
            exit 1
        fi
        unpack_packages
    fi
fi
echo "$bin"

#!/usr/bin/env bash
# Checks for everything that build, tests and demo need, and installs what is missing if it may (Debian, Ubuntu).
# Silent and quick when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$HOME/.cargo/bin:$PATH"

rustup="curl -sSf https://sh.rustup.rs | sh -s -- -y"
packages=()
have() { command -v "$1" >/dev/null 2>&1; }
need() { packages+=("$@"); }

java_version() { java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p'; }
# The newest server, not the client: what counts is initdb.
postgres_version() {
    { ls -d /usr/lib/postgresql/*/bin/initdb "$(pg_config --bindir 2>/dev/null)/initdb" 2>/dev/null || true; } |
        while read -r initdb; do "$initdb" --version; done | sed 's/.* \([0-9]*\)\..*/\1/' | sort -n | tail -1
}
at_least() { [ "${1:-0}" -ge "$2" ]; }

check() {
    packages=()
    # ring and librdkafka are C; librdkafka's configure script wants a C++ compiler, make and bash too.
    { have cc && have c++; } || need build-essential
    have make || need make
    have pkg-config || need pkg-config
    { have pkg-config && pkg-config --exists openssl; } || need libssl-dev
    have curl || need curl ca-certificates
    have git || need git
    { have java && at_least "$(java_version)" 17; } || need default-jre-headless
    have mvn || need maven
    at_least "$(postgres_version)" 15 || need postgresql
    # For the dashboards' generator and its check; Debian has ensurepip in a package of its own.
    python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || need python3-venv
    rust_missing=
    have cargo || rust_missing=yes
}

fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

# Debian starts a "main" cluster of every server that it installs, on port 5432. We run private ones only, so none is
# made when it is us who bring the server. A configuration that is there already is its owner's, and stays.
forbid_main_cluster() {
    local conf=/etc/postgresql-common/createcluster.conf
    [ ! -e "$conf" ] || return 0
    as_root mkdir -p "${conf%/*}"
    echo "create_main_cluster = false" | as_root tee "$conf" >/dev/null
}

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi; }
may_install() { [ "$(id -u)" -eq 0 ] || { have sudo && sudo -n true 2>/dev/null; }; }

# One command for all that is missing. Not every release has rustup as a package; Rust's own installer is for those.
set_command() {
    command=
    if [ -n "$rust_missing" ] && apt-cache policy rustup 2>/dev/null | grep -q "Candidate: [0-9]"; then
        packages+=(rustup)
        rust_missing=
    fi
    [ "${#packages[@]}" -eq 0 ] || command="apt-get install -y --no-install-recommends ${packages[*]}"
}

install_missing() {
    have apt-get || fail "install the like of these Debian packages and try again: ${packages[*]}${rust_missing:+ rustup}"
    if ! may_install; then
        set_command
        command=${command:+sudo apt-get update && sudo $command}
        fail "Run this and try again:" "  $command${rust_missing:+${command:+ && }$rustup}"
    fi
    as_root apt-get update -qq || fail "apt-get update failed; see above"
    set_command
    if [ -n "$command" ]; then
        echo "setup: installing ${packages[*]} …"
        [[ " ${packages[*]} " != *" postgresql "* ]] || forbid_main_cluster
        # shellcheck disable=SC2086
        as_root env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 $command </dev/null ||
            fail "installing failed; see above. The command was:" "  $command"
    fi
    [ -z "$rust_missing" ] || fail "Rust is missing. Run this and try again:" "  $rustup"
}

check
if [ "${#packages[@]}" -gt 0 ] || [ -n "$rust_missing" ]; then
    install_missing
    check
    [ "${#packages[@]}" -eq 0 ] ||
        fail "still missing or too old after installing: ${packages[*]} (needed: Java 17, PostgreSQL 15, Python 3.11)"
fi

# Of rustup's versions only some fetch the pinned toolchain by themselves, and RUSTUP_AUTO_INSTALL=0 forbids it to all.
has_toolchain() { cargo --version && rustfmt --version && cargo clippy --version; }
if have rustup && ! has_toolchain >/dev/null 2>&1; then
    channel=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
    echo "setup: installing the Rust toolchain $channel …"
    rustup toolchain install "$channel" --profile minimal -c rustfmt -c clippy </dev/null >&2 ||
        fail "installing Rust $channel failed; see above"
fi

# A cargo that is not rustup's has to be new enough.
wanted=$(sed -n 's/^rust-version = "1\.\([0-9]*\).*/\1/p' Cargo.toml)
found=$(cargo --version) || fail "cargo does not run; see above"
at_least "$(sed 's/^cargo 1\.\([0-9]*\).*/\1/' <<<"$found")" "$wanted" ||
    fail "found $found, need 1.$wanted. Run this and try again:" "  $rustup"

#!/usr/bin/env bash
# Runs cargo-deny (deny.toml), of a pinned version kept in the target folder.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.20.2
tools=${CARGO_TARGET_DIR:-target}/tools
deny=$tools/bin/cargo-deny

if [ "$("$deny" --version 2>/dev/null)" != "cargo-deny $version" ]; then
    echo "deny: building cargo-deny $version, once (takes some minutes) …"
    # Its own release profile (fat LTO, one codegen unit) doubles the build; our graph is checked in seconds either way.
    env -u CARGO_TARGET_DIR CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        CARGO_PROFILE_RELEASE_OPT_LEVEL=0 cargo install --quiet --locked --root "$tools" "cargo-deny@$version"
fi

"$deny" --log-level warn check --hide-inclusion-graph bans licenses sources

# The advisories are a git repository, out of reach for a machine that sees package registries only.
copies=("${CARGO_HOME:-$HOME/.cargo}"/advisory-dbs/*/)
if ! timeout 60 "$deny" --log-level off fetch db >/dev/null 2>&1; then
    if [ ! -d "${copies[0]}" ]; then
        echo "deny: advisories skipped: their database is out of reach and no copy is cached"
        exit 0
    fi
    echo "deny: advisory database out of reach; using the cached copy"
fi
"$deny" --log-level warn check --disable-fetch advisories

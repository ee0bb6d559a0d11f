#!/usr/bin/env bash
# Keeps what the compose stack repeats of other files the same as there. Needs no Docker.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "check-compose: $*" >&2; exit 1; }

# Every variable of the compose file is explained, and nothing is explained that is not there. Compose's own are extra.
read=$(grep -oE '\$\{[A-Z_]+' docker-compose.yml | tr -d '${' | sort -u)
explained=$(grep -oE '^#?[A-Z_]+=' .env.example | tr -d '#=' | grep -v '^COMPOSE_' | sort -u)
diff <(echo "$read") <(echo "$explained") >&2 || fail "docker-compose.yml (<) and .env.example (>) differ"

# The images are built by the compiler that everything else is built and tested with.
channel=$(sed -n 's/^channel = "\([0-9]*\.[0-9]*\).*"/\1/p' rust-toolchain.toml)
grep -q "^ARG RUST_IMAGE=rust:$channel-" ops/Dockerfile || fail "ops/Dockerfile builds with another Rust than $channel"

# The broker of the tests is the one of the stack.
kafka=$(sed -n 's/.*<kafka.version>\(.*\)<.*/\1/p' tests/kafka/pom.xml)
grep -q "image: apache/kafka:$kafka\$" docker-compose.yml || fail "docker-compose.yml has another Kafka than $kafka"

# Every secret has its example, and every crate gets into the build.
for secret in $(sed -n 's/.*secrets\.example}\/\([a-z_]*\)".*/\1/p' docker-compose.yml); do
    [ -s "ops/secrets.example/$secret" ] || fail "ops/secrets.example/$secret is missing"
done
for crate in $(sed -n 's/^members = \[\(.*\)\]/\1/p' Cargo.toml | tr -d '",'); do
    grep -qx "!$crate" .dockerignore || fail ".dockerignore keeps $crate out of the build"
done

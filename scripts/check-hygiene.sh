#!/usr/bin/env bash
# Looks for what must not be in a tracked file: paths of one machine, hosts of package registries (a mirror must do as
# well). Lock files name their registry by nature, and this file what it looks for.
set -euo pipefail
cd "$(dirname "$0")/.."

paths='(^|[^[:alnum:]_./-])/(work|root|home/[[:alnum:]_-]+)(/|[^[:alnum:]_/-]|$)'
hosts='(index|static)\.crates\.io|static\.rust-lang\.org|repo[0-9]?\.maven\.(apache\.)?org|registry-1\.docker\.io'
hosts+='|(deb|security|ftp)\.debian\.org|registry\.npmjs\.org|proxy\.golang\.org|files\.pythonhosted\.org'

# 0: something found; 1: nothing; above: git could not look, which is no pass. Untracked files count: soon they are in.
status=0
git grep --untracked -nIE "$paths|$hosts" -- . ':!*.lock' ':!scripts/check-hygiene.sh' || status=$?
case $status in
    0) echo "check-hygiene: the lines above name a machine's path or a registry's host" >&2; exit 1 ;;
    1) ;;
    *) echo "check-hygiene: git cannot search here" >&2; exit "$status" ;;
esac

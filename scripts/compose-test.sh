#!/usr/bin/env bash
# Brings the compose stack up from a clean checkout, sends the demo's traffic through it, restarts each container in turn
# meanwhile, and shows with calctl audit, the database and Stripe's books that nothing was lost and nothing done twice.
# Needs Docker with Compose, curl and git; leaves nothing behind but the build cache. COMPOSE_TEST_KEEP=1 keeps the stack.
set -euo pipefail
cd "$(dirname "$0")/.."
# Containers read the checkout as other users.
umask 022

# Customers of each round, a multiple of four, and deliveries a second: a round outlasts a restart.
readonly CUSTOMERS=40 RATE=4
readonly PATIENCE=600

project=calendly-compose-test
work=$(mktemp -d)
checkout=$work/checkout
sent=$work/sent
mkdir -p "$checkout" "$sent"
profile=${BUILD_PROFILE:-release}
# Compose prefers what the caller has exported to what ops/demo.env says: this stack must not meet a cluster of somebody's.
for name in $(grep -ohE '\$\{[A-Z_]+' docker-compose.yml | tr -d '${' | sort -u); do unset "$name"; done
# Free ports: the stack of somebody who works here may have the usual ones.
export BIND_ADDRESS=127.0.0.1 INGEST_PORT=0 GRAFANA_PORT=0 PROMETHEUS_PORT=0 ALERTMANAGER_PORT=0 JAEGER_PORT=0
export STRIPE_DOUBLE_PORT=0 IMAGE_PREFIX=$project IMAGE_TAG=test BUILD_PROFILE=$profile
# In all, longer than a restart of the database on a busy machine: what meets it must not become a dead letter.
export RETRY_DELAYS=1s,5s,30s RETRY_MAX_ATTEMPTS=3
# How many customers have come, and what was found wrong last.
customers=0 found=''
# One that was only made to be looked into.
container=''

say() { printf 'compose-test: %s\n' "$*"; }
fail() {
    say "FAILED: $*" >&2
    exit 1
}

compose() { (cd "$checkout" && docker compose -p "$project" --env-file ops/demo.env "$@"); }
calctl() { compose run --rm -T --no-deps calctl "$@" </dev/null; }
sql() { compose exec -T postgres psql -U calendly -d calendly -v ON_ERROR_STOP=1 -qAt -F ' '; }
double() { # ACTION JSON
    curl -fsS --noproxy '*' --max-time 10 -d "$2" "http://$(compose port stripe-double 12111)/_double/$1"
}

clean_up() {
    local status=$?
    trap - EXIT INT TERM
    [ -z "$container" ] || docker rm -v "$container" >/dev/null 2>&1 || true
    if [ "$status" -ne 0 ]; then
        compose ps -a || true
        compose logs --no-color --tail 30 || true
    fi
    if [ -n "${COMPOSE_TEST_KEEP:-}" ]; then
        say "kept: docker compose -p $project ps; the checkout is $checkout"
        exit "$status"
    fi
    compose --profile '*' down --volumes --remove-orphans --timeout 40 >/dev/null 2>&1 || true
    docker image ls -q "$project/*" | sort -u | xargs -r docker image rm -f >/dev/null 2>&1 || true
    rm -rf "$work"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# What git would take along: a file that somebody forgot to add is missing here as it would be elsewhere, and one that is
# ignored must not be needed.
check_out() { git ls-files -z --cached --others --exclude-standard --deduplicate | tar --null -cf - --files-from=- | tar -xf - -C "$checkout"; }

bring_up() { # MORE OPTIONS OF up
    local options=(--detach --wait --wait-timeout "$PATIENCE") grafana
    grafana=$(compose config --images grafana)
    if ! docker image inspect "$grafana" >/dev/null 2>&1 && ! docker pull -q "$grafana" >/dev/null 2>&1; then
        say "$grafana cannot be pulled here: the stack comes up without it"
        options+=(--pull never --scale grafana=0)
    fi
    compose up "${options[@]}" "$@"
}

healthy() { # CONTAINER
    local state
    state=$(docker inspect -f '{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}' "$1")
    [ "$state" = healthy ] || [ "$state" = running ]
}

wait_until() { # WHAT COMMAND…
    local what=$1 deadline=$((SECONDS + PATIENCE))
    shift
    found=''
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || fail "no $what within $PATIENCE s${found:+:}"$'\n'"$found"
        sleep 1
    done
}

# Pays half of the sessions that are open, so that Stripe's webhooks are on their way as well.
pay() {
    local session
    for session in $(sql <<<"SELECT checkout_session_id FROM bookings WHERE status = 'PENDING_PAYMENT'
                             AND checkout_url IS NOT NULL AND get_byte(uuid_send(id), 15) % 2 = 0"); do
        # Expired or paid meanwhile: the end result counts.
        double pay "{\"session\":\"$session\"}" >/dev/null 2>&1 || true
    done
}

# One round of customers. Calendly tries again what is not accepted, and so does this.
send() { # NAME
    calctl --output json simulate --url http://ingest:8080 --count "$CUSTOMERS" --rate "$RATE" --retry-for 10m >"$sent/$1.json"
}

round() { # NAME CONTAINER: restarts the container while customers come, or nothing
    local sender began
    send "$1" &
    sender=$!
    customers=$((customers + CUSTOMERS))
    sleep 2
    pay
    began=$SECONDS
    if [ -n "${2:-}" ]; then
        docker restart "$2" >/dev/null
        wait_until "healthy $1" healthy "$2"
    fi
    [ -z "${2:-}" ] || say "$1: back after $((SECONDS - began)) s"
    wait "$sender" || fail "deliveries were not accepted while $1 restarted"
}

# Everything that was sent, as a table of its own session, before the SQL on stdin.
with_deliveries() {
    {
        printf 'CREATE TEMP TABLE deliveries (event text, invitee text, status int);\n'
        for file in "$sent"/*.json; do
            printf "INSERT INTO deliveries SELECT * FROM jsonb_to_recordset(\$json\$%s\$json\$) AS d (event text, invitee text, status int);\n" \
                "$(cat "$file")"
        done
        cat
    } | sql
}

# Each line of output is something wrong.
differences() {
    with_deliveries <<SQL
\\set customers $customers
SELECT 'delivery not accepted:', event, invitee, status FROM deliveries WHERE status IS DISTINCT FROM 200;
SELECT DISTINCT 'accepted and nowhere:', event, invitee FROM deliveries d WHERE NOT EXISTS
    (SELECT FROM booking_invitees i JOIN booking_events e USING (booking_id)
     WHERE i.invitee_uri = d.invitee AND e.event_type = d.event);
SELECT 'bookings:', count(*), 'of', :customers FROM bookings HAVING count(*) <> :customers;
SELECT 'cancelled:', count(*), 'of', :customers / 4 FROM bookings WHERE status = 'CANCELED' HAVING count(*) <> :customers / 4;
CREATE TEMP TABLE stripe AS SELECT \$json\$$(curl -fsS --noproxy '*' "http://$(compose port stripe-double 12111)/_double/state")\$json\$::jsonb -> 'summary' AS books;
SELECT 'money of', b.id, status, payment_status, s FROM bookings b
    CROSS JOIN LATERAL (SELECT coalesce(books -> b.id::text, '{}') AS s FROM stripe) x
    WHERE coalesce((s ->> 'paid')::bigint - (s ->> 'refunded')::bigint, 0) <> CASE payment_status WHEN 'PAID' THEN amount_minor ELSE 0 END
       OR coalesce((s ->> 'live_sessions')::int, 0) <> CASE status WHEN 'PENDING_PAYMENT' THEN 1 ELSE 0 END
       OR coalesce((s ->> 'payments')::int, 0) > 1;
SELECT 'Stripe knows a booking that we do not:', known FROM stripe, jsonb_object_keys(books) AS known
    WHERE NOT EXISTS (SELECT FROM bookings WHERE id::text = known)
      AND NOT EXISTS (SELECT FROM booking_aliases WHERE alias::text = known);
SQL
}

settled() {
    found=$(differences) || return 1
    [ -z "$found" ]
}

# Nothing on its way any more, nothing dead, nothing missing.
audited() {
    audit=$(calctl --output json audit 2>/dev/null) || return 1
    for field in waiting in_retry dead; do
        grep -q "\"$field\": 0" <<<"$audit" || return 1
    done
}

verify() { # WHEN
    wait_until "agreement of database and Stripe ($1)" settled
    wait_until "clean audit ($1)" audited
    say "$1: $(tr -d ' \n' <<<"$audit")"
    say "$1: $(with_deliveries <<<"SELECT count(*) || ' deliveries, all accepted' FROM deliveries")," \
        "$(sql <<<"SELECT count(*) || ' bookings: ' || count(*) FILTER (WHERE status = 'CANCELED') || ' cancelled, ' ||
                   count(*) FILTER (WHERE payment_status = 'PAID') || ' paid' FROM bookings")"
}

# An authentic event for which Stripe fails goes down the tiers, becomes a dead letter, and comes back by a replay.
dead_letter() {
    wait_until "agreement of database and Stripe (before the dead letter)" settled
    found=$(dead_letters) || fail "calctl dlq list does not work"
    [ -z "$found" ] || fail "these died while containers restarted: $found"
    double inject '{"endpoint":"create_session","fault":{"kind":"status","status":500},"times":null}' >/dev/null
    calctl --output json simulate --url http://ingest:8080 --count 1 >"$work/dead.json"
    wait_until "dead letter" one_dead
    double clear '{}' >/dev/null
    calctl dlq replay
    mv "$work/dead.json" "$sent/"
    customers=$((customers + 1))
    say "a dead letter was replayed"
}
# Its id. More than one would be records that must not have died.
one_dead() {
    dead=$(dead_letters) && found=$dead && [ -n "$dead" ] && [ "$(wc -l <<<"$dead")" -eq 1 ]
}
dead_letters() { calctl --output json dlq list 2>/dev/null | sed -n 's/.*"event_id": "\(.*\)".*/\1/p'; }

forged() {
    local status
    status=$(curl -sS --noproxy '*' -o /dev/null -w '%{http_code}' -H 'Calendly-Webhook-Signature: t=1,v1=00' -d '{}' \
        "http://$(compose port ingest 8080)/webhooks/calendly")
    [ "$status" = 401 ] || fail "a forged delivery was answered with $status"
    say "a forged delivery is refused"
}

# shellcheck source=scripts/compose-checks.sh
. scripts/compose-checks.sh

say "from a clean checkout in $checkout"
check_out
bring_up --build
check_images
check_containers
check_doctor "at the start"
check_prometheus
forged
double refund_mode '{"mode":"instant"}' >/dev/null

say "restarting each container while $CUSTOMERS customers come each time"
# Not the double: it stands for Stripe, which is not ours to restart, and keeps its books in memory.
for id in $(compose ps -q --status running); do
    name=$(docker inspect -f '{{index .Config.Labels "com.docker.compose.service"}}-{{index .Config.Labels "com.docker.compose.container-number"}}' "$id")
    [[ $name == stripe-double-* ]] || round "$name" "$id"
done
pay
dead_letter
check_alerts
check_trace "$dead"
verify "after the restarts"

say "making every container anew: only volumes stay"
mapfile -t services < <(compose ps --services --status running | grep -v -e stripe-double)
compose up --detach --wait --wait-timeout "$PATIENCE" --pull never --force-recreate --no-deps "${services[@]}"
round "new containers"
pay
verify "in new containers"
check_prometheus
check_doctor "at the end"
check_examples
say "nothing was lost, in $((SECONDS / 60)) min"

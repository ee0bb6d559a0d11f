# shellcheck shell=bash
# What compose-test.sh looks at beside the bookings: images, containers, and what watches them. Sourced by it, and speaks
# with its functions.

# In bytes; what an image may have.
readonly IMAGE_LIMIT=60000000
readonly OURS=(ingest processor retrier calctl stripe-double)
# What doctor has nothing to look at: no token is given, and PostgreSQL is on an inner network.
readonly SKIPPED="calendly postgres-tls"
# What Prometheus scrapes, and how many of each.
readonly TARGETS=(ingest=1 processor=2 retrier=1 prometheus=1 alertmanager=1)

check_images() {
    local name image size user files shells
    for name in "${OURS[@]}"; do
        image=$project/$name:$IMAGE_TAG
        size=$(docker image inspect -f '{{.Size}}' "$image")
        user=$(docker image inspect -f '{{.Config.User}}' "$image")
        [ "$size" -lt "$IMAGE_LIMIT" ] || fail "image $name has $size bytes, more than $IMAGE_LIMIT"
        [ "$user" = 65532:65532 ] || fail "image $name runs as '$user'"
        container=$(docker create "$image")
        files=$(docker export "$container" | tar -tf -)
        docker rm -v "$container" >/dev/null
        container=''
        shells=$(grep -E '(^|/)((ba|da|a|z)?sh|busybox)$' <<<"$files" || true)
        [ -z "$shells" ] || fail "image $name has a shell: $shells"
        say "image $name: $((size / 1000000)) MB, user $user, no shell"
    done
}

# As Docker runs them, whatever the compose file was meant to say.
check_containers() {
    local id name confined ids
    mapfile -t ids < <(compose ps -q ingest processor retrier)
    [ "${#ids[@]}" -eq 4 ] || fail "${#ids[@]} containers of ours run, not 4"
    for id in "${ids[@]}"; do
        name=$(docker inspect -f '{{.Name}}' "$id")
        confined=$(docker inspect -f '{{.State.Health.Status}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}}' "$id")
        [ "$confined" = "healthy true [ALL] [no-new-privileges:true]" ] || fail "container $name is $confined"
    done
    say "containers are healthy, with a read-only root and no capability"
}

# Every line of doctor is green, but for those with nothing to look at.
check_doctor() { # WHEN
    wait_until "all-green doctor ($1)" is_well
    say "calctl doctor, $1:"
    printf '%s\n' "$found"
}
is_well() {
    found=$(calctl doctor 2>/dev/null) && ! grep -qv -e '^ok ' -e '^skip ' <<<"$found" &&
        [ "$(awk '/^skip / {print $2}' <<<"$found" | sort | xargs)" = "$SKIPPED" ]
}

# What Prometheus works out: a number, or nothing where there is no sample.
prometheus() { # EXPRESSION
    compose exec -T prometheus promtool query instant http://localhost:9090 "$1" </dev/null | sed -n 's/.* => \([^ ]*\) @.*/\1/p'
}

check_prometheus() {
    wait_until "Prometheus with all its targets" all_scraped
    local files loaded failed
    files=$(cat "$checkout"/ops/prometheus/rules/*.yml | grep -cE '^ +- (alert|record):')
    loaded=$(prometheus 'sum(prometheus_rule_group_rules)')
    failed=$(prometheus 'sum(prometheus_rule_evaluation_failures_total)')
    [ "$loaded" = "$files" ] || fail "Prometheus has '$loaded' rules of $files"
    [ "$failed" = 0 ] || fail "Prometheus could not evaluate rules $failed times"
    say "Prometheus scrapes ${TARGETS[*]}, and has all $files rules"
}
all_scraped() {
    local target seen
    for target in "${TARGETS[@]}"; do
        seen=$(prometheus "count(up{job=\"${target%=*}\"} == 1)")
        [ "$seen" = "${target#*=}" ] || { found="up: ${seen:-none} of $target"; return 1; }
    done
    found=$(prometheus 'count(up == 0)')
    [ -z "$found" ]
}

# A dead letter has to get through to Alertmanager by way of service, rule and Prometheus.
check_alerts() {
    wait_until "alert of the dead letter in Alertmanager" alerted
    say "Alertmanager has the alert DeadLetters"
}
alerted() {
    found=$(compose exec -T alertmanager amtool alert query --alertmanager.url=http://localhost:9093 alertname=DeadLetters </dev/null)
    grep -q DeadLetters <<<"$found"
}

# The life of an event that was retried is one trace, of all three services, on its way through the collector.
check_trace() { # EVENT_ID
    wait_until "trace of the event $1 in Jaeger" traced "$1"
    say "Jaeger has the event $1 as one trace: $found"
}
traced() {
    local traces
    traces=$(curl -fsS --noproxy '*' --max-time 10 --get --data-urlencode "tags={\"event_id\":\"$1\"}" \
        --data 'service=processor&limit=20&lookback=1h' "http://$(compose port jaeger 16686)/api/traces") || return 1
    found=$(sql <<SQL
SELECT jsonb_array_length(trace -> 'spans') || ' spans of ' || string_agg(DISTINCT process ->> 'serviceName', ', ')
FROM jsonb_array_elements(\$json\$$traces\$json\$::jsonb -> 'data') AS trace, jsonb_path_query(trace, '\$.processes.*') AS process
GROUP BY trace HAVING count(DISTINCT process ->> 'serviceName') = 3
SQL
    )
    [ -n "$found" ]
}

# A data team's program, in the stack's network, finds what the database says.
check_examples() {
    local image=$project/examples:$IMAGE_TAG counted
    docker build -q -f "$checkout/examples/Dockerfile" -t "$image" "$checkout" >/dev/null
    counted=$(docker run --rm --network "${project}_data" -e KAFKA_BROKERS=kafka:9092 \
        -e SCHEMA_REGISTRY_URL=http://registry:8080/apis/ccompat/v7 "$image")
    found=$(sql <<SQL
CREATE TEMP TABLE counted AS SELECT \$json\$$counted\$json\$::jsonb AS c;
SELECT 'bookings per day:', c -> 'per_day' FROM counted
    WHERE (SELECT sum(value::int) FROM jsonb_each_text(c -> 'per_day')) <> (SELECT count(*) FROM bookings);
SELECT 'bookings by state:', c -> 'by_state', 'and not', states FROM counted,
    (SELECT jsonb_object_agg(state, n) AS states
     FROM (SELECT status || ' ' || payment_status AS state, count(*) AS n FROM bookings GROUP BY 1) s) s
    WHERE c -> 'by_state' <> states;
SQL
    )
    [ -z "$found" ] || fail "examples/bookings.py counts otherwise than the database: $found"
    say "examples/bookings.py counts as the database does: $(tr -d '\n' <<<"$counted" | tr -s ' ')"
}

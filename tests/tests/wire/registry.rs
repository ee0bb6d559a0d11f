//! The schema registry: a real one, and everybody who writes and reads.

use std::collections::HashSet;

use schemas::codec::{self, BOOKING_SCHEMA, CALENDLY_SCHEMA, STRIPE_SCHEMA};
use schemas::{SchemaIds, WriterSchema};
use serde_json::{Value, json};
use tests::calendly::{Invitee, post};
use tests::calendly_api::CalendlyDouble;
use tests::kafka::{Message, produce, run_tool, wait_for};
use tests::proxy::Proxy;
use tests::python::run_example;
use tests::registry::{Registry, shared};
use tests::sandbox::{CALENDLY_SIGNING_KEY, Env, NO_STRIPE};
use tests::service::http_client;
use tests::{Binary, Sandbox, Service, eventually, run_calctl};

use crate::{PATIENCE, blocking};

const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Services that reach the registry through a proxy. Everything is free, so no Stripe is needed.
struct World {
    sandbox: Sandbox,
    proxy: Proxy,
    env: Env,
    registry: &'static Registry,
}

impl World {
    async fn new(name: &str) -> Self {
        let registry = blocking(shared).await;
        let (sandbox, proxy) = (Sandbox::new(name).await, Proxy::start(registry.addr()).await);
        let mut env = sandbox.env(NO_STRIPE);
        let url = registry.url().replace(&registry.addr().to_string(), &proxy.addr().to_string());
        env.insert("SCHEMA_REGISTRY_URL".to_owned(), url);
        env.insert("DEFAULT_PRICE".to_owned(), "free".to_owned());
        Self { sandbox, proxy, env, registry }
    }

    async fn ready(&self, binary: Binary) -> Service {
        let service = Service::spawn(binary, &self.env);
        service.wait_ready(PATIENCE).await;
        service
    }

    async fn send(&self, invitee: &Invitee) {
        let url = format!("{}/webhooks/calendly", self.sandbox.ingest_url());
        eventually(PATIENCE, "ingest to take a delivery", async || {
            let answer = post(&url, CALENDLY_SIGNING_KEY, invitee.created().body()).await.ok()?;
            (answer.0 == 200).then_some(())
        })
        .await;
    }

    async fn confirmed(&self, invitee: &Invitee) {
        let database = self.sandbox.database().await;
        eventually(PATIENCE, "the booking to be confirmed", async || {
            let query = "SELECT 1 FROM bookings WHERE invitee_uri = $1 AND status = 'CONFIRMED'";
            database.query_opt(query, &[&invitee.uri]).await.unwrap()
        })
        .await;
    }

    /// The first records of the event topic.
    async fn records(&self, count: usize) -> Vec<Message> {
        let topic = self.sandbox.topic("calendly.events");
        wait_for(self.sandbox.brokers(), &topic, PATIENCE, move |found| found.len() >= count).await
    }

    async fn calctl(&self, args: &[&str]) -> Value {
        let args = [&["--output", "json"], args].concat();
        let output = run_calctl(&args, &self.env).await;
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("the output is JSON")
    }

    /// What the doctor says of the registry: status and words.
    async fn diagnosis(&self) -> (String, String) {
        let output = run_calctl(&["doctor", "--output", "json"], &self.env).await;
        let rows: Vec<Value> = serde_json::from_slice(&output.stdout).expect("the output is JSON");
        let row = rows.iter().find(|row| row["check"] == "schema-registry").expect("it is looked at");
        (row["status"].as_str().unwrap().to_owned(), row["detail"].as_str().unwrap().to_owned())
    }

    /// Asks the registry itself.
    async fn ask(&self, path: &str) -> Value {
        let response = http_client().get(format!("{}/{path}", self.registry.url())).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    /// Registers a schema by hand; status and answer.
    async fn register(&self, subject: &str, schema: &str) -> (u16, Value) {
        let request = http_client()
            .post(format!("{}/subjects/{subject}/versions", self.registry.url()))
            .header("Content-Type", MEDIA_TYPE)
            .body(json!({ "schema": schema }).to_string());
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

fn id_of(record: &Message) -> u32 {
    codec::confluent_id(&record.value).expect("the record has the registry's framing")
}

#[tokio::test]
async fn records_are_framed_and_everybody_reads_them() {
    let world = World::new("registry").await;
    let _ingest = world.ready(Binary::Ingest).await;
    let _processor = world.ready(Binary::Processor).await;
    let invitee = Invitee::random();
    world.send(&invitee).await;
    world.confirmed(&invitee).await;

    let record = world.records(1).await.remove(0);
    let id = id_of(&record);
    let subject = format!("{}-value", world.sandbox.topic("calendly.events"));
    assert_eq!(world.ask(&format!("schemas/ids/{id}")).await["schema"], CALENDLY_SCHEMA);
    assert_eq!(world.ask(&format!("subjects/{subject}/versions/latest")).await["id"], id);
    assert_eq!(world.ask(&format!("config/{subject}")).await["compatibilityLevel"], "BACKWARD_TRANSITIVE");
    let stripe = format!("subjects/{}-value/versions/latest", world.sandbox.topic("stripe.events"));
    assert_eq!(world.ask(&stripe).await["schema"], STRIPE_SCHEMA);

    // The operator's command reads it too: as a dead letter, when it replays that, and when it counts.
    let event_id = record.header("event-id").unwrap().to_owned();
    let headers: Vec<_> = record.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    let dlq = world.sandbox.topic("calendly.events.dlq");
    produce(world.sandbox.brokers(), &dlq, record.key.as_deref(), &record.value, &headers).await;
    let shown = world.calctl(&["dlq", "show", &event_id]).await;
    assert_eq!(shown[0]["event"]["invitee"]["uri"], invitee.uri.as_str(), "{shown}");
    let replayed = world.calctl(&["dlq", "replay", "--event-id", &event_id]).await;
    assert_eq!((&replayed[0]["action"], &replayed[0]["done"]), (&json!("replay"), &json!(true)), "{replayed}");
    let audit = world.calctl(&["audit"]).await;
    assert_eq!((&audit["accepted"], &audit["missing"]), (&json!(1), &json!([])), "{audit}");

    // So does a deserializer that knows nothing of us.
    let read = foreign_read(&world, &world.sandbox.topic("calendly.events")).await;
    assert!(read.contains(&event_id) && read.contains(&invitee.uri), "{read}");

    // What is fetched from Calendly is framed as well.
    let (double, fetched) = (CalendlyDouble::start().await, Invitee::random());
    double.book(&fetched);
    let mut env = world.env.clone();
    env.extend(double.env("https://hooks.example"));
    let output = run_calctl(&["backfill", "--since", "1h"], &env).await;
    assert!(output.status.success(), "{output:?}");
    let records = world.records(2).await;
    let record = records.iter().find(|record| record.key_str() == Some(&fetched.uri)).expect("it is published");
    assert_eq!(id_of(record), id);
}

/// With what docs/DATA.md says, and no more: Confluent's deserializer for Python in the examples, Apicurio's for Java here.
#[tokio::test]
async fn data_teams_read_events_and_states_with_the_registrys_deserializers() {
    let world = World::new("registry-data").await;
    let _ingest = world.ready(Binary::Ingest).await;
    let _processor = world.ready(Binary::Processor).await;
    let invitees = [Invitee::random(), Invitee::random()];
    for invitee in &invitees {
        world.send(invitee).await;
        world.confirmed(invitee).await;
    }
    let changes = world.sandbox.topic("bookings.changes");
    let states = wait_for(world.sandbox.brokers(), &changes, PATIENCE, |found| {
        found.iter().map(|record| &record.key).collect::<HashSet<_>>().len() == 2
    })
    .await;
    assert_eq!(world.ask(&format!("schemas/ids/{}", id_of(&states[0]))).await["schema"], BOOKING_SCHEMA);
    let level = world.ask(&format!("config/{changes}-value")).await;
    assert_eq!(level["compatibilityLevel"], "BACKWARD_TRANSITIVE");

    let (env, file) = (world.env.clone(), world.sandbox.dir().join("bookings.duckdb").display().to_string());
    let said = blocking(move || {
        [("bookings.py", vec![]), ("warehouse.py", vec![&file[..]])]
            .map(|(script, args)| run_example(script, &args, &env))
    });
    let [told, copied] = said.await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["by_state"], json!({ "CONFIRMED NOT_REQUIRED": 2 }), "{told}");
    let days = told["per_day"].as_object().unwrap().values().map(|count| count.as_u64().unwrap());
    assert_eq!(days.sum::<u64>(), 2, "{told}");
    assert!(copied.contains(r#""bookings": "#), "{copied}");
    let read = foreign_read(&world, &changes).await;
    assert!(read.contains("CONFIRMED") && invitees.iter().any(|invitee| read.contains(&invitee.uri)), "{read}");
}

/// The first value of a topic, as Apicurio's Java deserializer reads it.
async fn foreign_read(world: &World, topic: &str) -> String {
    let api = format!("http://{}/apis/registry/v2", world.registry.addr());
    let properties = [
        ("value.deserializer", "io.apicurio.registry.serde.avro.AvroKafkaDeserializer".to_owned()),
        ("value.deserializer.apicurio.registry.url", api),
        (
            "value.deserializer.apicurio.registry.id-handler",
            "io.apicurio.registry.serde.Legacy4ByteIdHandler".to_owned(),
        ),
        ("value.deserializer.apicurio.registry.use-id", "contentId".to_owned()),
    ];
    let mut args: Vec<String> =
        ["--bootstrap-server", world.sandbox.brokers(), "--topic", topic, "--from-beginning", "--max-messages", "1"]
            .map(str::to_owned)
            .to_vec();
    args.extend(["--timeout-ms".to_owned(), "30000".to_owned()]);
    for (name, value) in properties {
        args.extend(["--formatter-property".to_owned(), format!("{name}={value}")]);
    }
    let output = blocking(move || run_tool("org.apache.kafka.tools.consumer.ConsoleConsumer", &args)).await;
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}{errors}");
    format!("{said}{errors}")
}

#[tokio::test]
async fn a_registry_that_goes_away_stops_nothing_that_runs() {
    let world = World::new("registry-away").await;
    let ingest = world.ready(Binary::Ingest).await;
    let processor = world.ready(Binary::Processor).await;
    let (before, during) = (Invitee::random(), Invitee::random());
    world.send(&before).await;
    world.confirmed(&before).await;

    world.proxy.refuse().await;
    world.send(&during).await;
    world.confirmed(&during).await;
    let records = world.records(2).await;
    assert_eq!(id_of(&records[0]), id_of(&records[1]));
    assert_eq!(ingest.metrics().await.sum("webhook_requests_total", &[("outcome", "spooled")]), 0.0);

    // Who starts meanwhile waits. Ingest takes deliveries all the same, and keeps them.
    for service in [&ingest, &processor] {
        service.sigterm();
        service.wait_exit(PATIENCE).await;
    }
    let [ingest, processor] = [Binary::Ingest, Binary::Processor].map(|binary| Service::spawn(binary, &world.env));
    let after = Invitee::random();
    world.send(&after).await;
    assert_eq!(ingest.metrics().await.sum("webhook_requests_total", &[("outcome", "spooled")]), 1.0);
    for service in [&ingest, &processor] {
        let line = "the schema registry does not answer";
        eventually(PATIENCE, "the warning", async || service.stderr().contains(line).then_some(())).await;
        let (status, body) = eventually(PATIENCE, "readiness", async || service.ready().await).await;
        assert_eq!(body["checks"]["registry"]["status"], "degraded", "{status} {body}");
        assert_eq!(service.stderr().matches(line).count(), 1, "{}", service.stderr());
    }

    world.proxy.restore();
    for service in [&ingest, &processor] {
        service.wait_ready(PATIENCE).await;
    }
    world.confirmed(&after).await;
    let records = world.records(3).await;
    assert!(records.iter().all(|record| id_of(record) == id_of(&records[0])), "what was spooled has the framing too");
}

#[tokio::test]
async fn where_we_may_not_register_somebody_else_does() {
    let mut world = World::new("registry-lookup").await;
    world.env.insert("SCHEMA_REGISTRY_REGISTER".to_owned(), "false".to_owned());
    let ingest = Service::spawn(Binary::Ingest, &world.env);
    world.send(&Invitee::random()).await;
    let line = "run `calctl schemas apply`";
    eventually(PATIENCE, "the warning", async || ingest.stderr().contains(line).then_some(())).await;
    assert_eq!(ingest.ready().await.unwrap().0, 503);
    let (status, words) = world.diagnosis().await;
    assert!(status == "fail" && words.contains("calendly.events-value is not registered"), "{status} {words}");

    let applied = world.calctl(&["schemas", "apply"]).await;
    let (status, words) = world.diagnosis().await;
    assert!(status == "ok" && words.contains(&format!("has id {}", applied[0]["id"])), "{status} {words}");
    ingest.wait_ready(PATIENCE).await;
    assert_eq!(applied[0]["id"], id_of(&world.records(1).await[0]), "{applied}");
    assert_eq!(world.calctl(&["schemas", "apply"]).await, applied, "once more changes nothing");
}

#[tokio::test]
async fn a_registry_that_refuses_is_told_from_one_that_is_away() {
    let world = World::new("registry-refuses").await;
    // Somebody else's schema is there already, and ours cannot read it.
    let foreign = CALENDLY_SCHEMA
        .replace(r#"{"name": "event_type", "type": "string""#, r#"{"name": "event_type", "type": "long""#);
    assert_ne!(foreign, CALENDLY_SCHEMA);
    let subject = format!("{}-value", world.sandbox.topic("calendly.events"));
    assert_eq!(world.register(&subject, &foreign).await.0, 200);
    let level = json!({ "compatibility": "BACKWARD_TRANSITIVE" }).to_string();
    let config = http_client().put(format!("{}/config/{subject}", world.registry.url()));
    assert_eq!(config.header("Content-Type", MEDIA_TYPE).body(level).send().await.unwrap().status(), 200);
    let mut elsewhere = world.env.clone();
    elsewhere.insert("SCHEMA_REGISTRY_URL".to_owned(), format!("http://{}/nowhere", world.registry.addr()));
    for (env, detail, line) in [
        (&world.env, "it holds this release's schemas for incompatible", "for incompatible"),
        (&elsewhere, "it refuses what we ask", "check SCHEMA_REGISTRY_URL"),
    ] {
        let ingest = Service::spawn(Binary::Ingest, env);
        eventually(PATIENCE, format!("the warning: {line}"), async || {
            let (_, body) = ingest.ready().await?;
            (body["checks"]["registry"]["detail"] == detail && ingest.stderr().contains(line)).then_some(())
        })
        .await;
        // Not our deliveries' fault.
        world.send(&Invitee::random()).await;
        ingest.sigterm();
        assert_eq!(ingest.wait_exit(PATIENCE).await.code(), Some(0), "{}", ingest.stderr());
    }
}

/// What a later release may write, and this one has to read.
#[tokio::test]
async fn a_schema_that_only_the_registry_knows_is_read() {
    let world = World::new("registry-grown").await;
    let _ingest = world.ready(Binary::Ingest).await;
    let _processor = world.ready(Binary::Processor).await;
    let mut grown: Value = serde_json::from_str(CALENDLY_SCHEMA).unwrap();
    let region = json!({ "name": "region", "type": ["null", "string"], "default": null });
    grown["fields"].as_array_mut().unwrap().insert(0, region);
    let subject = format!("{}-value", world.sandbox.topic("calendly.events"));
    let (status, answer) = world.register(&subject, &grown.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    let id = u32::try_from(answer["id"].as_u64().unwrap()).unwrap();
    let breaking = CALENDLY_SCHEMA
        .replace(r#"{"name": "event_type", "type": "string""#, r#"{"name": "event_type", "type": "long""#);
    assert_eq!(world.register(&subject, &breaking).await.0, 409, "the registry keeps what is incompatible out");

    let invitee = Invitee::random();
    let body = invitee.created().body();
    let event = schemas::calendly::Delivery::parse(&body).unwrap().into_event(jiff::Timestamp::now());
    let today = codec::encode_calendly(&event).unwrap();
    // The new field in front: the first branch of its union.
    let value = [&[0][..], &id.to_be_bytes(), &[0], &today[10..]].concat();
    let mut ids = SchemaIds::default();
    ids.insert(id, WriterSchema::parse(&grown.to_string()).unwrap());
    assert!(codec::decode_with(&value, &ids).is_ok());
    let topic = world.sandbox.topic("calendly.events");
    produce(world.sandbox.brokers(), &topic, Some(invitee.uri.as_bytes()), &value, &[]).await;
    world.confirmed(&invitee).await;
}

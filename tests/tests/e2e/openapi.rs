//! What we send to Stripe, held against the parameters of Stripe's own OpenAPI file.
//!
//! `tests/fixtures/stripe-openapi.json` has the endpoints that we use, cut from the file that Stripe publishes with
//! `stripe-mock` 0.203.0; it names the API's version.

use serde_json::{Map, Value};
use tests::calendly::Invitee;
use tests::stripe::{Endpoint, Fault, Received, RefundMode};

use crate::world::World;

fn spec() -> Value {
    serde_json::from_str(include_str!("../../fixtures/stripe-openapi.json")).unwrap()
}

/// Form fields as the tree that their brackets mean. An object with the keys 0, 1, … stands for a list.
fn tree(fields: impl Iterator<Item = (String, String)>) -> Value {
    let mut root = Value::Object(Map::new());
    for (name, text) in fields {
        let mut at = &mut root;
        for key in name.split('[').map(|key| key.trim_end_matches(']')) {
            let map = at.as_object_mut().unwrap_or_else(|| panic!("{name} is a value and has members"));
            at = map.entry(key).or_insert_with(|| Value::Object(Map::new()));
        }
        *at = Value::String(text);
    }
    root
}

/// What is wrong with a value, if anything is. Knows the part of JSON Schema that Stripe's parameters use.
fn problem(schema: &Value, value: &Value, path: &str) -> Option<String> {
    if let Some(choices) = schema["anyOf"].as_array() {
        let problems: Option<Vec<String>> = choices.iter().map(|choice| problem(choice, value, path)).collect();
        return problems.map(|problems| problems.join("; "));
    }
    match (schema["type"].as_str(), value) {
        (Some("object"), Value::Object(members)) => members_problem(schema, members, path),
        (Some("array"), Value::Object(items)) => items.iter().enumerate().find_map(|(place, (key, item))| {
            let path = format!("{path}[{key}]");
            if *key == place.to_string() {
                problem(&schema["items"], item, &path)
            } else {
                Some(format!("{path}: order"))
            }
        }),
        (Some(kind), Value::String(text)) => text_problem(schema, kind, text, path),
        (kind, _) => Some(format!("{path}: should be {kind:?}")),
    }
}

fn members_problem(schema: &Value, members: &Map<String, Value>, path: &str) -> Option<String> {
    let missing = |name: &&Value| !members.contains_key(name.as_str().unwrap_or_default());
    if let Some(name) = schema["required"].as_array().into_iter().flatten().find(missing) {
        return Some(format!("{path}: {name} is missing"));
    }
    members.iter().find_map(|(name, member)| {
        let path = format!("{path}[{name}]");
        let known =
            schema["properties"].get(name).or(schema.get("additionalProperties").filter(|more| more.is_object()));
        known.map_or_else(|| Some(format!("{path}: unknown")), |known| problem(known, member, &path))
    })
}

fn text_problem(schema: &Value, kind: &str, text: &str, path: &str) -> Option<String> {
    let number = || text.parse::<i64>().ok();
    let is_right = match kind {
        "string" => schema["maxLength"].as_u64().is_none_or(|most| text.chars().count() as u64 <= most),
        "integer" => number().is_some(),
        "number" => text.parse::<f64>().is_ok(),
        "boolean" => ["true", "false"].contains(&text),
        _ => false,
    };
    let is_listed = schema["enum"].as_array().is_none_or(|words| words.iter().any(|word| word == text));
    (!is_right || !is_listed).then(|| format!("{path}: {text:?} is no {kind} that Stripe takes"))
}

fn check(spec: &Value, request: &Received) -> Option<String> {
    let path = match request.endpoint? {
        Endpoint::CreateSession | Endpoint::ListSessions => "/v1/checkout/sessions",
        Endpoint::GetSession => "/v1/checkout/sessions/{session}",
        Endpoint::ExpireSession => "/v1/checkout/sessions/{session}/expire",
        Endpoint::CreateRefund | Endpoint::ListRefunds => "/v1/refunds",
        Endpoint::GetPaymentIntent => "/v1/payment_intents/{intent}",
        endpoint => panic!("{endpoint:?} is none that we need"),
    };
    let schema = &spec["paths"][path][request.method.to_lowercase()];
    let fields = request.params.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    problem(schema, &tree(fields), path)
}

#[test]
fn the_check_finds_what_stripe_would_refuse() {
    let spec = spec();
    let schema = &spec["paths"]["/v1/checkout/sessions"]["post"];
    let checked = |fields: &[(&str, &str)]| {
        problem(schema, &tree(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))), "")
    };
    assert_eq!(checked(&[("mode", "payment"), ("metadata[a]", "b"), ("line_items[0][quantity]", "1")]), None);
    for wrong in [
        ("mode", "sale"),
        ("unheard_of", "1"),
        ("line_items[0][quantity]", "many"),
        ("line_items[1][quantity]", "1"),
        ("line_items[0][price_data][unit_amount]", "5000"),
        ("payment_intent_data[metadate][a]", "b"),
    ] {
        assert!(checked(&[wrong]).is_some(), "{wrong:?}");
    }
    let long = "x".repeat(201);
    assert!(checked(&[("client_reference_id", &long)]).is_some());
}

#[tokio::test]
async fn every_request_is_one_that_stripes_openapi_file_allows() {
    let world = World::start("openapi").await;
    world.stripe.refund_mode(RefundMode::Instant);
    // Each write once as it should be and once after a 500 that was saved, which leads to the look-ups.
    for endpoint in [Endpoint::CreateSession, Endpoint::ExpireSession, Endpoint::CreateRefund] {
        world.stripe.inject(endpoint, Fault::Saved500);
    }
    world.stripe.inject(Endpoint::ExpireSession, Fault::PayFirst);
    for paid in [true, false, false] {
        let invitee = Invitee::random();
        world.send(&invitee.created()).await;
        let session = world.open_session(&invitee).await;
        if paid {
            world.stripe.pay(&session).unwrap();
            world.booking(&invitee, "CONFIRMED PAID").await;
        }
        world.send(&invitee.canceled()).await;
        tests::eventually(crate::world::PATIENCE, "the cancel to be done", async || {
            let row = world.row(&invitee).await?;
            let payment: String = row.get("payment_status");
            let is_done =
                row.get::<_, &str>("status") == "CANCELED" && ["UNPAID", "REFUNDED"].contains(&payment.as_str());
            (is_done && row.get::<_, Option<&str>>("checkout_url").is_none()).then_some(())
        })
        .await;
    }
    // A row is cancelled before its session is expired at Stripe.
    for endpoint in [
        Endpoint::CreateSession,
        Endpoint::ListSessions,
        Endpoint::ExpireSession,
        Endpoint::GetSession,
        Endpoint::CreateRefund,
        Endpoint::ListRefunds,
        Endpoint::GetPaymentIntent,
    ] {
        tests::eventually(crate::world::PATIENCE, format!("{endpoint:?} to be asked"), async || {
            world.stripe.requests().iter().any(|request| request.endpoint == Some(endpoint)).then_some(())
        })
        .await;
    }
    let (spec, requests) = (spec(), world.stripe.requests());
    let problems: Vec<String> = requests.iter().filter_map(|request| check(&spec, request)).collect();
    assert!(problems.is_empty(), "{problems:#?}");
    assert_eq!(spec["version"], processor::stripe::STRIPE_VERSION);
}

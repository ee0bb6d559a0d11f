//! What `calctl audit` expects of an event is what the processor's handlers make of it.

use bookings::store::Subject;
use jiff::Timestamp;
use processor::handlers::{self, Meaning};
use schemas::handled::{self, Expectation};
use schemas::{Event, calendly, stripe};
use serde_json::{Value, json};
use tests::calendly::Invitee;

#[test]
fn the_handled_types_are_the_processors() {
    let known: Vec<&str> = handled::CALENDLY.into_iter().chain(handled::STRIPE).collect();
    let labels: Vec<&str> = handlers::labels().filter(|label| !["other", "unknown"].contains(label)).collect();
    assert_eq!(known, labels);
}

fn assert_agree(event: &Event, what: &str) {
    let (expected, id) = match handlers::interpret(event) {
        Ok(Meaning::Fact(fact)) if matches!(fact.0, Subject::Perhaps(_) | Subject::Payment(_)) => {
            (Expectation::Perhaps, Some(fact.1.id))
        }
        Ok(Meaning::Fact(fact)) => (Expectation::Fact, Some(fact.1.id)),
        Ok(Meaning::Nothing) => (Expectation::Nothing, None),
        // A failure: the event is in the DLQ, and an audit looks there before it misses anything.
        Err(_) => return,
    };
    assert_eq!(handled::expectation(event), expected, "{what}");
    if let Some(id) = id {
        let event_id = match event {
            Event::Calendly(event) => event.event_id.to_string(),
            Event::Stripe(event) => event.event_id.clone(),
        };
        assert_eq!(handled::fact_id(&event_id), id, "{what}");
    }
}

#[test]
fn calendlys_events_are_expected_as_they_are_handled() {
    for kind in handled::CALENDLY.into_iter().chain(["routing_form_submission.created", "contact.created"]) {
        let body = Invitee::random().created().event(kind).body();
        let event = calendly::Delivery::parse(&body).unwrap().into_event(Timestamp::now());
        assert_agree(&Event::Calendly(Box::new(event)), kind);
    }
}

/// Every handled type and some others, with every mixture of what tells whose an object is.
#[test]
fn stripes_events_are_expected_as_they_are_handled() {
    let id = "0b1c4d3e-5a6f-4b7c-8d9e-0f1a2b3c4d5e";
    let metadata = [json!({}), Value::Null, json!({ "booking_id": id }), json!({ "booking_id": "order-7" }), json!([])];
    let references = [Value::Null, json!(id), json!("order-7")];
    let payments = [Value::Null, json!("pi_1"), json!({ "id": "pi_1", "object": "payment_intent" })];
    let mut checked = 0;
    for kind in handled::STRIPE.into_iter().chain(["payment_intent.created", "customer.created"]) {
        for metadata in &metadata {
            for reference in &references {
                for payment in &payments {
                    let object = json!({ "id": "x_1", "metadata": metadata, "client_reference_id": reference,
                        "payment_intent": payment, "payment_status": "paid", "amount_total": 5000, "currency": "usd",
                        "status": "succeeded", "amount": 5000, "amount_refunded": 5000 });
                    let body = json!({ "id": "evt_1", "type": kind, "data": { "object": object } }).to_string();
                    let event = stripe::Delivery::parse(body.as_bytes()).unwrap().into_event(Timestamp::now());
                    assert_agree(&Event::Stripe(Box::new(event)), &body);
                    checked += 1;
                }
            }
        }
    }
    assert_eq!(checked, 11 * 5 * 3 * 3);
}

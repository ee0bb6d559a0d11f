//! The double's objects have no field that the recorded ones lack.

use serde_json::Value;
use tests::stripe::StripeDouble;

use super::{Client, session_form};

fn fixture(name: &str) -> Value {
    let path = format!("{}/../schemas/tests/fixtures/stripe/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn assert_known(object: &Value, name: &str) {
    let recorded = fixture(name);
    for (field, value) in object.as_object().unwrap() {
        let other = recorded.get(field).unwrap_or_else(|| panic!("{name} has no {field}"));
        let same = std::mem::discriminant(value) == std::mem::discriminant(other);
        assert!(same || value.is_null() || other.is_null(), "{name}: {field} is {value}, recorded {other}");
    }
}

#[tokio::test]
async fn objects_look_like_the_recorded_ones() {
    let double = StripeDouble::start().await;
    let client = Client::of(&double);
    let open = client.create("", &session_form("b-1")).await;
    assert_known(&open.body, "fixture_checkout_session");
    let intent = double.pay(&open.id()).unwrap();
    assert_known(&client.get(&format!("/v1/checkout/sessions/{}", open.id())).await.body, "fixture_checkout_session");
    let paid = client.get(&format!("/v1/payment_intents/{intent}?expand[]=latest_charge")).await.body;
    assert_known(&paid["latest_charge"], "fixture_charge");
    assert_known(&client.get(&format!("/v1/payment_intents/{intent}")).await.body, "fixture_payment_intent");
    let refund = double.dashboard_refund(&intent, 100).unwrap();
    assert_known(&client.get(&format!("/v1/refunds/{refund}")).await.body, "fixture_refund");
}

//! One right subscription, whatever there was, whatever goes wrong, and whoever else does the same.

use calendly::{CalendlyError, Ensured, Manner, Outcome, ensure, preview, remove};
use secrecy::SecretString;
use tests::calendly_api::{CalendlyDouble, Fault, Taken};

use crate::{CALLBACK, client, wish};

const KEY: &str = "the-key";
const TAKEN: [Taken; 3] = [Taken::ByAny, Taken::ByActive, Taken::Never];

async fn ensured(double: &CalendlyDouble, renew: bool) -> Result<Ensured, CalendlyError> {
    let manner = Manner { renew, ..Manner::default() };
    ensure(&client(double), &wish(), &SecretString::from(KEY), manner).await
}

/// The one subscription with our address, which is right.
fn only(double: &CalendlyDouble) -> String {
    let ours: Vec<_> = double.subscriptions().into_iter().filter(|one| one["callback_url"] == CALLBACK).collect();
    assert_eq!(ours.len(), 1, "{ours:?}");
    assert_eq!(ours[0]["state"], "active");
    assert!(ours[0]["events"].as_array().unwrap().len() >= 4, "{ours:?}");
    ours[0]["uri"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_is_missing_is_created_and_what_is_right_is_left_alone() {
    let double = CalendlyDouble::start().await;
    let other = double.add("https://other.example/webhooks/calendly", &["invitee.created"]);
    assert_eq!(ensured(&double, false).await.unwrap().outcome, Outcome::Created);
    let made = only(&double);
    assert_eq!(double.signing_key(&made).as_deref(), Some(KEY));
    let requests = double.requests().len();
    assert_eq!(ensured(&double, false).await.unwrap().outcome, Outcome::Unchanged);
    assert_eq!((only(&double), double.requests().len() - requests), (made, 1));
    assert!(double.subscriptions().iter().any(|one| one["uri"] == other.as_str()));
}

#[tokio::test]
async fn what_is_wrong_is_replaced_and_keeps_its_further_events() {
    for taken in TAKEN {
        for disabled in [true, false] {
            let double = CalendlyDouble::start().await;
            double.taken(taken);
            let events: &[&str] = if disabled {
                &[
                    "invitee.created",
                    "invitee.canceled",
                    "invitee_no_show.created",
                    "invitee_no_show.deleted",
                    "contact.created",
                ]
            } else {
                &["invitee.created", "contact.created"]
            };
            let old = double.add(CALLBACK, events);
            if disabled {
                double.disable(&old);
            }
            let planned = preview(&client(&double), &wish(), false).await.unwrap();
            assert_eq!((planned.outcome, &planned.deleted), (Outcome::Replaced, &vec![old.clone()]));
            let done = ensured(&double, false).await.unwrap();
            assert_eq!((done.outcome, done.deleted, done.left.len()), (Outcome::Replaced, vec![old], 0), "{taken:?}");
            only(&double);
            assert_eq!(double.subscriptions()[0]["events"].as_array().unwrap().len(), 5, "{taken:?}");
            // The new one comes first wherever Calendly allows it.
            let writes: Vec<_> = double.requests().into_iter().filter(|request| request.method != "GET").collect();
            assert_eq!((writes[0].method.as_str(), writes[0].status == 409), ("POST", writes.len() == 3), "{taken:?}");
        }
    }
}

/// Its presence tells whoever looks next that what it did not deliver has to be fetched.
#[tokio::test]
async fn a_disabled_one_can_be_kept_as_a_mark() {
    for taken in TAKEN {
        let double = CalendlyDouble::start().await;
        double.taken(taken);
        let keeping = async || {
            let manner = Manner { renew: false, keep_disabled: true };
            ensure(&client(&double), &wish(), &SecretString::from(KEY), manner).await.unwrap()
        };
        let old = double.add(CALLBACK, &["invitee.created", "contact.created"]);
        double.disable(&old);
        for _ in 0..2 {
            let done = keeping().await;
            assert_eq!(done.kept.iter().map(|one| one.uri.as_str()).collect::<Vec<_>>(), [old.as_str()], "{taken:?}");
            assert_eq!(done.subscription.is_none(), done.outcome == Outcome::Blocked);
            assert_eq!(done.outcome == Outcome::Blocked, taken == Taken::ByAny, "{taken:?}");
        }
        assert!(double.requests().iter().all(|request| request.method != "DELETE"));
        let kept = keeping().await.kept;
        assert!(remove(&client(&double), &kept).await.is_empty());
        assert!(remove(&client(&double), &kept).await.is_empty(), "what is gone is deleted");
        keeping().await;
        only(&double);
        let events = double.subscriptions()[0]["events"].as_array().unwrap().len();
        assert_eq!(events == 5, taken != Taken::ByAny, "what was deleted unseen is not remembered: {taken:?}");
    }
}

#[tokio::test]
async fn a_new_key_takes_a_new_subscription() {
    for taken in TAKEN {
        let double = CalendlyDouble::start().await;
        double.taken(taken);
        assert_eq!(ensured(&double, false).await.unwrap().outcome, Outcome::Created);
        let old = only(&double);
        assert_eq!(ensured(&double, true).await.unwrap().outcome, Outcome::Replaced);
        assert_ne!(only(&double), old);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_no_second_subscription() {
    for taken in TAKEN {
        let double = CalendlyDouble::start().await;
        double.taken(taken);
        double.inject("POST", "/webhook_subscriptions", Fault::DoneBut(500));
        assert_eq!(ensured(&double, false).await.unwrap().outcome, Outcome::Created);
        assert_eq!(double.signing_key(&only(&double)).as_deref(), Some(KEY));
    }
}

#[tokio::test]
async fn an_address_that_is_taken_out_of_sight_is_an_error_and_deletes_nothing() {
    let double = CalendlyDouble::start().await;
    double.add_as(&serde_json::json!({
        "url": CALLBACK, "events": ["invitee.created"], "scope": "user",
        "organization": tests::calendly_api::ORGANIZATION, "user": tests::calendly_api::USER,
    }));
    let error = ensured(&double, false).await.unwrap_err();
    assert!(error.to_string().contains("--scope user"), "{error}");
    assert!(double.requests().iter().all(|request| request.method != "DELETE"));
}

#[tokio::test]
async fn an_old_one_that_cannot_be_deleted_is_told_of() {
    let double = CalendlyDouble::start().await;
    double.taken(Taken::Never);
    let old = double.add(CALLBACK, &["invitee.created"]);
    double.inject("DELETE", "/webhook_subscriptions", Fault::Status(403));
    let done = ensured(&double, false).await.unwrap();
    assert_eq!((done.outcome, done.left.len()), (Outcome::Replaced, 1));
    assert_eq!(done.left[0].uri, old);
    assert_eq!(ensured(&double, false).await.unwrap().deleted, [old]);
    only(&double);
}

/// Replicas that start together, and that find a disabled one together.
#[tokio::test]
async fn several_at_once_end_with_one() {
    for taken in TAKEN {
        let double = CalendlyDouble::start().await;
        double.taken(taken);
        let together = async || {
            let all = futures_util::future::join_all((0..6).map(|_| ensured(&double, false))).await;
            for one in all {
                one.unwrap();
            }
            // Where an address may be had twice, the next look tidies up.
            ensured(&double, false).await.unwrap();
        };
        together().await;
        let first = only(&double);
        double.disable(&first);
        together().await;
        assert_ne!(only(&double), first, "{taken:?}");
    }
}

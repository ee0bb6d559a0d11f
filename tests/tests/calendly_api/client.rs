//! Requests: pages, tries, the rate limit, errors.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use calendly::{CalendlyError, EventFilter, NewSubscription, ScopeChoice, Subject};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use tests::calendly::Invitee;
use tests::calendly_api::{CalendlyDouble, Fault, GROUP, ORGANIZATION, USER};

use crate::{CALLBACK, client, client_with, organization, wish};

#[tokio::test]
async fn a_list_of_many_pages_is_read_to_its_end() {
    let double = CalendlyDouble::start().await;
    for number in 0..250 {
        double.add(&format!("https://hooks.example/{number}"), &["invitee.created"]);
    }
    let found = client(&double).subscriptions(&organization()).await.unwrap();
    let distinct: BTreeSet<_> = found.iter().map(|one| &one.uri).collect();
    assert_eq!((found.len(), distinct.len(), double.requests().len()), (250, 250, 3));
    let counts: BTreeSet<_> = double.requests().into_iter().map(|request| request.query["count"].clone()).collect();
    assert_eq!(counts, BTreeSet::from(["100".to_owned()]));
}

#[tokio::test]
async fn meetings_and_their_invitees_are_read_with_all_their_fields() {
    let double = CalendlyDouble::start().await;
    let day = SignedDuration::from_hours(24);
    let first = Invitee::new(1);
    let (mut second, mut third) = (Invitee::new(2), Invitee::new(3));
    (second.start, third.start) = (first.start + day, first.start + day * 2);
    for (number, invitee) in [&third, &first, &second].into_iter().enumerate() {
        double.book_in_group(invitee, 500);
        double.book_in_group(&invitee.in_same_event(10 + u64::try_from(number).unwrap()), 500);
    }
    double.cancel(&second, Timestamp::now());
    let (client, subject) = (client(&double), organization());
    let from = Some(first.start + day);
    let found = client
        .scheduled_events(&EventFilter { subject: &subject, from, until: None, alone: false })
        .all()
        .await
        .unwrap();
    let uris: Vec<_> = found.iter().map(|event| event.uri.as_str()).collect();
    assert_eq!(uris, [&second.event_uri, &third.event_uri]);
    let until = Some(third.start);
    let found =
        client.scheduled_events(&EventFilter { subject: &subject, from, until, alone: false }).all().await.unwrap();
    assert_eq!(found.len(), 1);
    let mut pages = client.invitees(&found[0]);
    let invitees = pages.next().await.unwrap().unwrap();
    let statuses: Vec<_> = invitees.iter().map(|one| one.fields["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["canceled", "active"]);
    assert_eq!(invitees[1].fields["event"], found[0].uri.as_str());
    assert!(pages.next().await.unwrap().is_none() && pages.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_subject_is_completed_by_the_tokens_owner() {
    let double = CalendlyDouble::start().await;
    let client = client(&double);
    let organization = || ORGANIZATION.parse().unwrap();
    let group = || GROUP.parse().unwrap();
    for (choice, expected) in [
        (ScopeChoice::Organization, Subject::Organization { organization: organization() }),
        (ScopeChoice::User(None), Subject::User { organization: organization(), user: USER.parse().unwrap() }),
        (ScopeChoice::Group(group()), Subject::Group { organization: organization(), group: group() }),
    ] {
        let subject = choice.resolve(&client).await.unwrap();
        assert_eq!(subject, expected);
        // Calendly takes exactly what belongs to the scope.
        assert!(client.subscriptions(&subject).await.unwrap().is_empty());
        let key = SecretString::from("key");
        let url = format!("https://hooks.example/{}", subject.scope()).parse().unwrap();
        let events = BTreeSet::from(["invitee.created".to_owned()]);
        client.create_subscription(&NewSubscription::new(&url, &events, &subject, &key)).await.unwrap();
        assert_eq!(client.subscriptions(&subject).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_may_be_done_twice_is_not() {
    let double = CalendlyDouble::start().await;
    let (client, wish, key) = (client(&double), wish(), SecretString::from("key"));
    double.inject("GET", "/webhook_subscriptions", Fault::Status(503));
    double.inject("GET", "/webhook_subscriptions", Fault::Status(429));
    assert!(client.subscriptions(&wish.subject).await.unwrap().is_empty());
    assert_eq!(double.requests().len(), 3);

    double.inject("POST", "/webhook_subscriptions", Fault::Status(429));
    double.inject("POST", "/webhook_subscriptions", Fault::DoneBut(502));
    let new = NewSubscription::new(&wish.url, &wish.events, &wish.subject, &key);
    let error = client.create_subscription(&new).await.unwrap_err();
    assert_eq!(error, CalendlyError::Server { operation: "create subscription", status: 502 });
    assert_eq!((double.subscriptions().len(), double.requests().len()), (1, 5));
}

#[tokio::test]
async fn a_used_up_window_is_waited_for() {
    let double = CalendlyDouble::start().await;
    let client = client(&double);
    double.limit_rate(2, Duration::from_secs(1));
    let began = Instant::now();
    for _ in 0..5 {
        client.me().await.unwrap();
    }
    // Two windows have to pass; and nothing was refused, since the second answer of each says that it is the last.
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(double.requests().iter().all(|request| request.status == 200), "{:?}", double.requests());
    // Another client of the same account comes into a window that this one has used up.
    client.me().await.unwrap();
    client_with(&double, tests::calendly_api::TOKEN).me().await.unwrap();
}

#[tokio::test]
async fn every_error_is_told_apart() {
    let double = CalendlyDouble::start().await;
    let subject = organization();
    let stranger = client_with(&double, "another");
    assert!(matches!(stranger.me().await, Err(CalendlyError::Token { .. })));
    let client = client(&double);
    let wish = wish();
    let create = async || {
        let key = SecretString::from("key");
        let new = NewSubscription::new(&wish.url, &wish.events, &wish.subject, &key);
        client.create_subscription(&new).await.unwrap_err()
    };
    double.plan_has_webhooks(false);
    assert!(matches!(create().await, CalendlyError::Plan { .. }));
    double.plan_has_webhooks(true);
    double.owner_is_admin(false);
    assert!(matches!(client.subscriptions(&subject).await, Err(CalendlyError::Forbidden { .. })));
    double.owner_is_admin(true);
    double.add(CALLBACK, &["invitee.created"]);
    assert!(matches!(create().await, CalendlyError::Exists { .. }));
    let unknown = "AAAA".parse().unwrap();
    assert!(matches!(client.subscription(&unknown).await, Err(CalendlyError::NotFound { .. })));
    assert!(matches!(client.delete_subscription(&unknown).await, Err(CalendlyError::NotFound { .. })));
    double.inject("GET", "/users/me", Fault::NoJson);
    assert!(matches!(client.me().await, Err(CalendlyError::Unreadable { .. })));
    double.inject("GET", "/users/me", Fault::Status(422));
    assert!(matches!(client.me().await, Err(CalendlyError::Refused { status: 422, .. })));
    drop(double);
    let gone = client.me().await.unwrap_err();
    assert!(matches!(gone, CalendlyError::Unreachable { .. } | CalendlyError::Broken { .. }), "{gone}");
}

use serde_json::json;

use super::*;

const GAP: Gap = Gap { since: at(1_000_000), until: at(2_000_000) };

const fn at(second: i64) -> Timestamp {
    Timestamp::constant(second, 0)
}

fn text(second: i64) -> String {
    format!("{:.6}", at(second))
}

fn meeting() -> ScheduledEvent {
    serde_json::from_value(json!({
        "uri": "https://c/scheduled_events/E", "status": "canceled", "name": "Talk",
        "cancellation": { "canceled_by": "Ada" }, "invitees_counter": { "limit": 1 },
    }))
    .unwrap()
}

fn invitee(mut change: Value) -> Invitee {
    let mut value = json!({
        "uri": "https://c/scheduled_events/E/invitees/I", "email": "ada@example.com", "status": "active",
        "created_at": text(1_500_000), "updated_at": text(1_500_000), "rescheduled": false, "old_invitee": null,
        "new_invitee": null, "no_show": null, "event": "https://c/scheduled_events/E",
    });
    value.as_object_mut().unwrap().append(change.as_object_mut().unwrap());
    serde_json::from_value(value).unwrap()
}

fn bodies(change: Value) -> Vec<Value> {
    let found = missed(&meeting(), &invitee(change), &GAP);
    let body = |one: &Missed| {
        let body: Value = serde_json::from_str(one.body()).unwrap();
        assert_eq!(body["event"], one.event_type());
        assert!(!format!("{one:?}").contains("ada@"));
        body
    };
    found.iter().map(body).collect()
}

fn types(change: Value) -> Vec<String> {
    bodies(change).iter().map(|body| body["event"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn who_booked_was_active_then_whatever_came_after() {
    let canceled_at = text(1_600_000);
    let found = bodies(json!({
        "status": "canceled", "rescheduled": true, "new_invitee": "https://c/n", "old_invitee": "https://c/o",
        "updated_at": canceled_at, "cancellation": { "canceled_by": "Ada", "created_at": canceled_at },
    }));
    let [created, canceled] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(created["created_at"], text(1_500_000));
    let payload = &created["payload"];
    assert_eq!((&payload["status"], &payload["rescheduled"]), (&json!("active"), &json!(false)));
    assert_eq!((&payload["new_invitee"], &payload["old_invitee"]), (&json!(null), &json!("https://c/o")));
    assert_eq!((&payload["updated_at"], payload.get("cancellation")), (&json!(text(1_500_000)), None));
    assert_eq!(payload["scheduled_event"]["status"], "active");
    assert_eq!(payload["scheduled_event"]["uri"], "https://c/scheduled_events/E");
    assert_eq!(payload["scheduled_event"].get("cancellation"), None);
    assert_eq!(payload["uri"], "https://c/scheduled_events/E/invitees/I");

    assert_eq!((&canceled["event"], &canceled["created_at"]), (&json!("invitee.canceled"), &json!(canceled_at)));
    let payload = &canceled["payload"];
    assert_eq!((&payload["status"], &payload["rescheduled"]), (&json!("canceled"), &json!(true)));
    assert_eq!(
        (&payload["new_invitee"], &payload["cancellation"]["canceled_by"]),
        (&json!("https://c/n"), &json!("Ada"))
    );
    assert_eq!(payload["scheduled_event"]["name"], "Talk");
}

#[test]
fn what_happened_outside_of_the_gap_is_left_out() {
    let canceled = |created: i64, canceled: i64| {
        types(json!({
            "created_at": text(created), "updated_at": text(canceled), "status": "canceled",
            "cancellation": { "created_at": text(canceled) },
        }))
    };
    assert_eq!(types(json!({})), ["invitee.created"]);
    assert_eq!(types(json!({ "created_at": text(1_000_000) })), ["invitee.created"]);
    assert!(types(json!({ "created_at": text(2_000_000) })).is_empty());
    assert!(types(json!({ "created_at": text(999_999) })).is_empty());
    assert_eq!(canceled(1, 1_000_000), ["invitee.canceled"]);
    // A booking that is told without its end would take the money of somebody who does not come.
    assert_eq!(canceled(1_999_999, 2_000_000), ["invitee.created", "invitee.canceled"]);
    assert!(canceled(1, 2).is_empty());
}

#[test]
fn what_has_no_time_may_have_been_in_the_gap() {
    assert_eq!(types(json!({ "created_at": null })), ["invitee.created"]);
    let no_time = json!({ "created_at": text(1), "status": "canceled", "updated_at": "then", "cancellation": {} });
    assert_eq!(types(no_time), ["invitee.canceled"]);
    let never_booked = json!({ "created_at": "then", "status": "canceled", "updated_at": text(1_100_000) });
    assert_eq!(types(never_booked), ["invitee.canceled"], "a booking without a time would count as the latest word");
    let only_updated =
        |updated: i64| json!({ "created_at": text(1), "status": "canceled", "updated_at": text(updated) });
    assert!(types(only_updated(2)).is_empty());
    let found = bodies(only_updated(1_100_000));
    assert_eq!((found.len(), &found[0]["created_at"]), (1, &json!(text(1_100_000))));
}

#[test]
fn a_no_show_is_told_when_it_was_marked() {
    let marked =
        |second: i64| json!({ "created_at": text(1), "no_show": { "uri": "https://c/n", "created_at": text(second) } });
    let found = bodies(marked(1_200_000));
    assert_eq!((found.len(), &found[0]["event"]), (1, &json!("invitee_no_show.created")));
    assert_eq!(
        (&found[0]["created_at"], &found[0]["payload"]["no_show"]["uri"]),
        (&json!(text(1_200_000)), &json!("https://c/n"))
    );
    assert!(bodies(marked(5)).is_empty());
}

#[test]
fn gaps_grow() {
    let wide = GAP.widened();
    assert_eq!((wide.since, wide.until), (at(1_000_000 - 3600), at(2_000_000 + 3600)));
    let all = Gap { since: Timestamp::MIN, until: Timestamp::MAX };
    assert_eq!((all.widened(), all.joined(GAP)), (all, all));
}

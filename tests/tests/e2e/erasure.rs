//! `calctl privacy erase`: the person is nowhere in a dump of the database, stays away, and the money stays right.

use tests::calendly::Invitee;
use tests::run_calctl;
use tests::stripe::RefundMode;

use crate::changes::{latest, topic_is_as_the_table};
use crate::world::{PATIENCE, World};
use tests::eventually;
use uuid::Uuid;

const EMAIL: &str = "Ada.Lovelace@erase.example";
const NAME: &str = "Ada King Lovelace";

fn person() -> Invitee {
    let mut person = Invitee::random().email(EMAIL);
    NAME.clone_into(&mut person.name);
    person
}

/// Every row of every table, as text.
async fn dump(world: &World) -> String {
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'";
    let mut dump = String::new();
    for table in world.database.query(tables, &[]).await.unwrap() {
        let rows = format!("SELECT row::text FROM {} AS row", table.get::<_, &str>(0));
        for row in world.database.query(&rows, &[]).await.unwrap() {
            dump.push_str(row.get(0));
            dump.push('\n');
        }
    }
    dump.to_lowercase()
}

async fn is_in_database(world: &World) -> bool {
    let dump = dump(world).await;
    ["lovelace", "erase.example"].iter().any(|word| dump.contains(word))
}

async fn erase(world: &World, arguments: &[&str]) -> (Option<i32>, serde_json::Value) {
    let all = [&["--output", "json", "privacy", "erase"], arguments].concat();
    let output = run_calctl(&all, &world.env).await;
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}

#[tokio::test]
async fn an_erased_person_is_gone_and_stays_away() {
    let world = World::start("erasure").await;
    world.stripe.refund_mode(RefundMode::Instant);
    let (paid, waiting, other) = (person(), person(), Invitee::random());
    world.paid(&other).await;
    let payment = world.paid(&paid).await;
    world.send(&waiting.created()).await;
    world.open_session(&waiting).await;
    world.send(&paid.no_show(true)).await;
    world.processed("applied", 5.0).await;
    assert!(is_in_database(&world).await);

    // In another case, and first without consequences.
    let (code, shown) = erase(&world, &["ada.lovelace@ERASE.example", "--dry-run"]).await;
    assert_eq!((code, shown.as_array().unwrap().len()), (Some(0), 2), "{shown}");
    assert!(is_in_database(&world).await);
    let (code, erased) = erase(&world, &["ada.lovelace@ERASE.example"]).await;
    assert_eq!((code, erased.as_array().unwrap().len()), (Some(0), 2), "{erased}");
    for row in erased.as_array().unwrap() {
        assert_eq!((&row["erased"], &row["tombstone"]), (&true.into(), &true.into()), "{erased}");
        let id: Uuid = row["booking_id"].as_str().unwrap().parse().unwrap();
        assert_eq!(latest(&world).await[&id], None, "the topic has a tombstone");
    }
    assert!(!is_in_database(&world).await, "{}", dump(&world).await);
    assert_eq!(erase(&world, &[EMAIL]).await.0, Some(1), "nobody is known by that address any more");

    // What is heard again, or later, brings nobody back, and the money goes where it must.
    world.send(&paid.created()).await;
    let moved = paid.moved();
    assert_eq!((moved.email.as_str(), moved.name.as_str()), (EMAIL, NAME));
    let (left, created) = paid.reschedule_pair(&moved);
    world.send(&created).await;
    world.send(&left).await;
    world.booking(&moved, "CONFIRMED PAID").await;
    world.send(&moved.canceled()).await;
    world.booking(&moved, "CANCELED REFUNDED").await;
    let session = world.open_session(&waiting).await;
    world.stripe.pay(&session).expect("an open session can be paid");
    world.booking(&waiting, "CONFIRMED PAID").await;
    assert!(!is_in_database(&world).await, "{}", dump(&world).await);
    let refunds = world.stripe.refunds();
    assert_eq!(refunds.iter().filter(|refund| refund.payment_intent == payment).count(), 1);
    assert_eq!(refunds.len(), 1);

    // Whoever books anew is a new person to us, and the others were never touched.
    let again = person();
    world.paid(&again).await;
    assert!(is_in_database(&world).await);
    eventually(PATIENCE, "the others in the topic", async || {
        let known = latest(&world).await.into_values().flatten().filter_map(|state| state.invitee_email);
        (known.count() == 2).then_some(())
    })
    .await;
    topic_is_as_the_table(&world).await;
}

#[tokio::test]
async fn who_is_one_with_an_erased_person_is_erased() {
    let world = World::start("erasure-merge").await;
    let (first, second) = (person(), person());
    world.send(&first.created()).await;
    world.open_session(&first).await;
    assert_eq!(erase(&world, &[EMAIL]).await.0, Some(0));
    world.send(&second.created()).await;
    world.open_session(&second).await;
    assert!(is_in_database(&world).await);
    let (left, created) = first.reschedule_pair(&second);
    world.send(&left).await;
    world.send(&created).await;
    eventually(PATIENCE, "one booking", async || {
        let rows = world.database.query_one("SELECT count(*) FROM bookings", &[]).await.unwrap();
        (rows.get::<_, i64>(0) == 1 && !is_in_database(&world).await).then_some(())
    })
    .await;
    topic_is_as_the_table(&world).await;
}

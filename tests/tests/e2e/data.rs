//! The examples of docs/DATA.md run, and tell what happened.

use serde_json::{Value, json};
use tests::calendly::Invitee;
use tests::python::run_example;

use crate::changes::topic_is_as_the_table;
use crate::world::World;

#[tokio::test]
async fn a_data_team_reads_events_and_states() {
    let world = World::start("data").await;
    let (paid, moved, waiting) = (Invitee::random(), Invitee::random(), Invitee::random());
    world.paid(&paid).await;
    world.paid(&moved).await;
    world.send(&waiting.created()).await;
    world.send(&waiting.created()).await;
    world.open_session(&waiting).await;
    let next = moved.moved();
    let (left, created) = moved.reschedule_pair(&next);
    world.send(&left).await;
    world.send(&created).await;
    world.booking(&next, "CONFIRMED PAID").await;
    topic_is_as_the_table(&world).await;

    let (env, file) = (world.env.clone(), world.sandbox.dir().join("bookings.duckdb").display().to_string());
    let said = tokio::task::spawn_blocking(move || {
        // What was copied already is copied once more.
        [("bookings.py", vec![]), ("warehouse.py", vec![&file[..]]), ("warehouse.py", vec![&file[..]])]
            .map(|(script, args)| run_example(script, &args, &env))
    });
    let [told, copied, again] = said.await.unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    let days = told["per_day"].as_object().unwrap().values().map(|count| count.as_u64().unwrap());
    assert_eq!(days.sum::<u64>(), 3, "{told}");
    let states = json!({ "CONFIRMED PAID": 2, "PENDING_PAYMENT UNPAID": 1 });
    assert_eq!(told["by_state"], states, "{told}");

    // One line a day and currency; a test may run across midnight.
    let days: Vec<Value> = copied.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let sum = |field: &str| days.iter().map(|day| day[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("bookings"), sum("paid_minor")), (3, 10_000), "{copied}");
    assert_eq!(days[0]["currency"], "usd", "{copied}");
    assert_eq!(again, copied);
}

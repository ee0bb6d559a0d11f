//! The example of docs/DATA.md runs, and tells what happened.

use std::path::{Path, PathBuf};
use std::process::Command;

use tests::calendly::Invitee;

use crate::changes::topic_is_as_the_table;
use crate::world::World;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Python with what the example needs, kept from run to run. `None` where it cannot be had.
fn python() -> Option<PathBuf> {
    let (requirements, folder) = (root().join("examples/requirements.txt"), root().join("target/tools/python"));
    let (python, wanted) = (folder.join("bin/python"), std::fs::read_to_string(&requirements).unwrap());
    let done = folder.join("requirements");
    if std::fs::read_to_string(&done).is_ok_and(|had| had == wanted) {
        return Some(python);
    }
    let made = succeeds(Command::new("python3").args(["-m", "venv"]).arg(&folder))
        && succeeds(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(&requirements));
    if made {
        std::fs::write(&done, wanted).unwrap();
    }
    made.then_some(python)
}

#[tokio::test]
async fn a_data_team_reads_events_and_states() {
    let Some(python) = tokio::task::spawn_blocking(python).await.unwrap() else {
        eprintln!("skipped: no Python with venv and the packages of examples/requirements.txt");
        return;
    };
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
    let mut command = Command::new(python);
    command.arg(root().join("examples/bookings.py"));
    command.env("KAFKA_BROKERS", world.sandbox.brokers()).env("TOPIC_PREFIX", world.sandbox.prefix());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let days = told["per_day"].as_object().unwrap().values().map(|count| count.as_u64().unwrap());
    assert_eq!(days.sum::<u64>(), 3, "{told}");
    let states = serde_json::json!({ "CONFIRMED PAID": 2, "PENDING_PAYMENT UNPAID": 1 });
    assert_eq!(told["by_state"], states, "{told}");
}

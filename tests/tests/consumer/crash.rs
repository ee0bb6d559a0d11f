//! `kill -9`, again and again, while one record keeps the committed offset where it is.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use runtime::env::Env;
use runtime::kafka::consumer::{Completion, Handler};
use runtime::kafka::{KafkaConfig, Record};
use tests::process::{Proc, Signal};

use crate::fixture::{Member, PATIENCE, Topic, number};

const COUNT: u64 = 2400;
const KEYS: u64 = 120;
const IN_FLIGHT: usize = 16;
const TAKES: Duration = Duration::from_millis(40);
const KILLS: usize = 5;

/// Writes down what it has finished where a kill cannot undo it.
struct Diary {
    file: File,
    hangs: bool,
}

impl Handler for Diary {
    async fn handle(&self, record: Record) -> Completion {
        if self.hangs && number(&record) < 3 {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(TAKES).await;
        (&self.file).write_all(format!("{}\n", number(&record)).as_bytes()).unwrap();
        Completion::Done
    }
}

fn finished(diary: &Path) -> HashMap<u64, usize> {
    let mut counts = HashMap::new();
    for line in std::fs::read_to_string(diary).unwrap_or_default().lines() {
        *counts.entry(line.parse().unwrap()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the process that is killed; the test below starts it"]
async fn victim() {
    let [brokers, group, topic, diary, hangs] =
        ["BROKERS", "GROUP", "TOPIC", "DIARY", "HANGS"].map(|name| std::env::var(format!("VICTIM_{name}")).unwrap());
    let file = OpenOptions::new().create(true).append(true).open(diary).unwrap();
    let handler = Arc::new(Diary { file, hangs: hangs == "yes" });
    // With a name of its own it gets its partitions back at once.
    let pairs = [("KAFKA_BROKERS", brokers.as_str()), ("KAFKA_INSTANCE_ID", "victim")];
    let config = KafkaConfig::from_env(&Env::from_pairs(pairs)).unwrap();
    let _member = Member::start(&config, &group, &topic, IN_FLIGHT, &handler);
    std::future::pending::<()>().await;
}

fn start(topic: &Topic, diary: &Path, hangs: bool) -> Proc {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "crash::victim", "--ignored", "--nocapture"])
        .env("VICTIM_BROKERS", topic.sandbox.brokers())
        .env("VICTIM_GROUP", topic.group())
        .env("VICTIM_TOPIC", &topic.name)
        .env("VICTIM_DIARY", diary)
        .env("VICTIM_HANGS", if hangs { "yes" } else { "no" })
        .stdout(Stdio::null());
    // Dropped, it is killed.
    Proc::spawn(&mut command, Signal::Kill).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_repeat_what_was_in_flight_and_not_all_that_is_beyond_a_stuck_record() {
    let topic = Topic::new("killed", 3).await;
    let diary = topic.sandbox.dir().join("diary");
    std::fs::create_dir_all(topic.sandbox.dir()).unwrap();
    topic.write(0..COUNT, KEYS).await;
    for kill in 0..KILLS {
        let before = finished(&diary).len();
        let enough = before + rand::random_range(100..300);
        let victim = start(&topic, &diary, true);
        tests::eventually(PATIENCE, format!("{enough} records before kill {kill}"), async || {
            (finished(&diary).len() >= enough).then_some(())
        })
        .await;
        drop(victim);
    }
    let counts = finished(&diary);
    let repeats = counts.values().sum::<usize>() - counts.len();
    let survivor = start(&topic, &diary, false);
    let all = usize::try_from(COUNT).unwrap();
    tests::eventually(PATIENCE, "all records", async || (finished(&diary).len() == all).then_some(())).await;
    drop(survivor);
    println!("{repeats} repeats in {KILLS} kills, {} beyond the stuck ones", counts.len());
    // What was finished since the last commit, at 16 records in 40 ms: a second's worth is generous, and far less than
    // all that was finished beyond the stuck records, which is some 500 at each kill on average.
    let bound = KILLS * (IN_FLIGHT + 400) / 2;
    assert!(repeats <= bound, "{repeats} records came twice in {KILLS} kills");
}

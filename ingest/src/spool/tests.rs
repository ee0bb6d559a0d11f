//! The spool's thread when it hangs, fails, panics.

use runtime::health::{Health, Status};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn entry() -> Entry<'static> {
    Entry { topic: "topic", key: &[1], value: vec![2; 100].into(), headers: Vec::new() }
}

/// A spool without a thread: what is asked of it comes out of the other end.
fn without_thread(health: &Health) -> (Spool, mpsc::Receiver<Command>) {
    let state = Arc::new(State::new(health.component("spool")));
    let (commands, received) = mpsc::channel(QUEUE);
    (Spool { commands, state }, received)
}

fn is_down(health: &Health) -> bool {
    matches!(health.snapshot()["spool"].status, Status::Down { .. })
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_costs_a_request_its_deadline_and_no_more() {
    let health = Health::new();
    let (spool, mut received) = without_thread(&health);
    assert!(health.is_ready());
    let asked = tokio::time::Instant::now();
    assert_eq!(spool.append(&entry()).await, Err(SpoolError::TooSlow));
    assert_eq!(asked.elapsed().as_secs(), APPEND_DEADLINE.as_secs());
    assert!(is_down(&health));

    // The disk works again: what nobody waits for is not written, and a write says that all is well.
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let late = received.try_recv().unwrap();
    let writer = Writer::new(dir.path().to_owned(), 1 << 20, store, spool.state.clone());
    let (commands, received) = mpsc::channel(QUEUE);
    commands.try_send(late).map_err(drop).unwrap();
    let (done, answer) = oneshot::channel();
    let bytes = entry().encode(Timestamp::now());
    commands.try_send(Command::Append { entry: bytes, done }).map_err(drop).unwrap();
    drop(commands);
    std::thread::spawn(move || writer.run(received)).join().unwrap();
    assert_eq!(answer.await.unwrap(), Ok(()));
    assert_eq!(spool.state.depth().records, 1);
    assert!(health.is_ready());
}

#[tokio::test]
async fn without_a_delivery_it_finds_out_by_itself_that_the_disk_works() {
    let (health, dir) = (Health::new(), tempfile::tempdir().unwrap());
    let (spool, _closing) = Spool::open(dir.path(), 1 << 20, health.component("spool")).unwrap();
    spool.state.failed(&SpoolError::Failed);
    assert!(is_down(&health));
    // What the drainer asks every second.
    let _ = spool.read(Wanted::default()).await.unwrap();
    tokio::time::timeout(PATIENCE, async {
        while is_down(&health) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_panic_of_its_thread_is_told() {
    let health = Health::new();
    let (spool, received) = without_thread(&health);
    let thread = watched(spool.state.clone(), move || {
        drop(received);
        panic!("a bug");
    });
    assert!(thread.unwrap().join().is_err());
    tokio::time::timeout(PATIENCE, spool.broken().cancelled()).await.unwrap();
    assert!(is_down(&health));
    assert_eq!(spool.append(&entry()).await, Err(SpoolError::Failed));
}

#[tokio::test]
async fn an_end_that_is_wanted_is_no_alarm() {
    let (health, dir) = (Health::new(), tempfile::tempdir().unwrap());
    let (spool, closing) = Spool::open(dir.path(), 1 << 20, health.component("spool")).unwrap();
    let broken = spool.broken();
    drop(spool);
    closing.wait(PATIENCE).await;
    assert!(!broken.is_cancelled() && health.is_ready());
}

#[tokio::test]
async fn what_nobody_reads_gets_old() {
    let (health, dir) = (Health::new(), tempfile::tempdir().unwrap());
    let (spool, closing) = Spool::open(dir.path(), 1 << 20, health.component("spool")).unwrap();
    let oldest = |spool: &Spool| spool.state.oldest.load(Ordering::Relaxed);
    assert_eq!(oldest(&spool), 0);
    let begun = Timestamp::now().as_millisecond();
    spool.append(&entry()).await.unwrap();
    let first = oldest(&spool);
    assert!(first >= begun);
    spool.append(&entry()).await.unwrap();
    assert_eq!(oldest(&spool), first);

    drop(spool);
    closing.wait(PATIENCE).await;
    let restarted = Timestamp::now().as_millisecond();
    let (spool, _closing) = Spool::open(dir.path(), 1 << 20, health.component("spool")).unwrap();
    assert!((begun..=restarted).contains(&oldest(&spool)), "as old as it was before the restart");
}

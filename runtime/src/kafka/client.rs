//! What all our clients share: how librdkafka's log lines, errors and lag reach our log and metrics.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::{Partition, Statistics};
use rdkafka::{ClientContext, TopicPartitionList};

/// A client could not be built: its settings contradict each other or name something that is not there.
#[derive(Debug, thiserror::Error)]
#[error("cannot build a Kafka client ({0}); check the KAFKA_* variables")]
pub struct SetupError(#[from] pub(crate) KafkaError);

/// Sends librdkafka's own lines to the log at debug level.
///
/// librdkafka repeats "connection refused" for every broker and every try. The one line that an operator needs comes
/// from [`super::watch_brokers`]; these are for a closer look.
pub(crate) struct QuietContext;

impl ClientContext for QuietContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
    }
}

impl ConsumerContext for QuietContext {}

/// What waits in the queue of a client that is only asked questions: its log lines and errors reach the context, and
/// the errors are told here too.
///
/// A poll whose time is up ends at a log line as if nothing were behind it, and the error that says what is wrong comes
/// behind log lines. So polls wait for a moment, in which they pass over what there is of them, and only several that
/// find nothing mean that there is nothing: this thread may have been the one to wait.
pub(crate) fn events<C: ConsumerContext>(client: &BaseConsumer<C>) -> impl Iterator<Item = KafkaError> {
    let mut quiet = 0;
    let polls = (0..MOST_POLLS).map(|_| client.poll(MOMENT)).take_while(move |polled| {
        quiet = if polled.is_some() { 0 } else { quiet + 1 };
        quiet < QUIET
    });
    polls.flatten().filter_map(Result::err)
}

const MOMENT: Duration = Duration::from_millis(10);
const QUIET: u32 = 3;
/// More than a client has to tell between two questions.
const MOST_POLLS: u32 = 100;

/// Resumes partitions that were just assigned.
///
/// librdkafka remembers that a partition was paused even while another member has it: without this, one that was
/// revoked while paused would stay paused for ever when it comes back.
pub(crate) fn resume_assigned<C: ConsumerContext>(consumer: &BaseConsumer<C>, assigned: &TopicPartitionList) {
    if let Err(error) = consumer.resume(assigned) {
        tracing::warn!(%error, "assigned partitions could not be resumed");
    }
}

/// Resumes partitions and makes librdkafka fetch them at once.
///
/// `resume` alone does not wake librdkafka's thread for the broker, which then fetches again only at its next tick, up to
/// a second later. A request to the partition's leader does wake it, and takes some milliseconds.
pub(crate) fn resume_now<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[(String, i32)],
) -> KafkaResult<()> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        list.add_partition(topic, *partition);
    }
    consumer.resume(&list)?;
    let until = Instant::now() + WAKE_BUDGET;
    for (topic, partition) in partitions {
        // Its answer is not needed. Partitions beyond the budget share their leaders with earlier ones, as a rule.
        let _ = consumer.fetch_watermarks(topic, *partition, WAKE_BUDGET);
        if Instant::now() >= until {
            break;
        }
    }
    Ok(())
}

const WAKE_BUDGET: Duration = Duration::from_millis(50);

/// Sets the gauge `metric` to the lag of each topic, over the partitions that this member has, and returns the lags.
pub(crate) fn report_lag<'a>(
    metric: &'static str,
    statistics: &'a Statistics,
    lag: impl Fn(&str, &Partition) -> i64,
) -> HashMap<&'a str, i64> {
    let mut lag_by_topic: HashMap<&str, i64> = HashMap::new();
    for (name, topic) in &statistics.topics {
        // A partition that another member has now keeps the numbers that it had when it went.
        let mine = topic.partitions.values().filter(|partition| partition.fetch_state == "active");
        let lags = mine.map(|partition| lag(name, partition));
        *lag_by_topic.entry(name).or_default() += lags.sum::<i64>();
    }
    for (topic, lag) in &lag_by_topic {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float, and lags stay far below 2^52")]
        metrics::gauge!(metric, "topic" => (*topic).to_owned()).set(*lag as f64);
    }
    lag_by_topic
}

/// Records of a partition that a member which commits what it has finished has yet to finish.
pub(crate) fn uncommitted(_topic: &str, partition: &Partition) -> i64 {
    // Behind the last record there may be markers of transactions, which are never delivered and so never committed.
    let finished_all = partition.fetchq_cnt == 0 && partition.committed_offset >= partition.app_offset;
    let lag = if finished_all { partition.ls_offset - partition.next_offset } else { partition.consumer_lag };
    lag.max(0)
}

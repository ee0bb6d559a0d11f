//! Kafka: brokers, topics, and the groups of the services.

use std::cmp::Reverse;
use std::fmt::Display;
use std::time::Duration;

use runtime::env::{ConfigError, Env};
use runtime::kafka::{GroupState, GroupTrouble, Inspection, KafkaConfig, TopicFlaw, inspect};
use schemas::ladder::RetryLadder;
use schemas::topics::Topics;

use super::finding::{Finding, Status};

const BROKERS: &str = "kafka";
const TOPICS: &str = "kafka-topics";
const GROUPS: [&str; 2] = ["kafka-group-processor", "kafka-group-retrier"];
const SERVICES: [&str; 2] = ["processor", "retrier"];
/// Of many flaws that are alike.
const SHOWN: usize = 3;

pub(super) async fn check(env: &Env, deadline: Duration) -> Vec<Finding> {
    let (config, topics) = match read(env) {
        Ok(read) => read,
        Err(error) => return vec![Finding::unreadable(BROKERS, &error)],
    };
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let tiers: Vec<&str> = topics.tiers().iter().map(|tier| tier.topic.as_str()).collect();
    let processors = owned(&[topics.calendly_events(), topics.stripe_events(), topics.due()]);
    let groups = [(topics.group("processor"), processors), (topics.group("retrier"), owned(&tiers))];
    let specs = topics.specs();
    match inspect(&config, &specs, &groups, deadline).await {
        Err(why) => {
            let (cause, remedy) = why.rsplit_once("; ").unwrap_or((&why, "check KAFKA_BROKERS"));
            let detail = format!("no broker of {} can be used ({cause})", config.brokers);
            let mut findings = vec![Finding::fail(BROKERS, detail, format!("start them, or {remedy}"))];
            let unseen = |check| Finding::skip(check, "not looked at: Kafka does not answer");
            findings.extend([TOPICS, GROUPS[0], GROUPS[1]].map(unseen));
            findings
        }
        Ok(seen) => {
            let detail = format!("{} at {}", counted(&seen.brokers, "broker"), config.brokers);
            let mut findings = vec![Finding::ok(BROKERS, detail)];
            findings.extend(of_topics(&seen, specs.len()));
            let of_groups = seen.groups.iter().zip(GROUPS).zip(SERVICES);
            findings.extend(of_groups.map(|((group, check), service)| of_group(group, check, service)));
            findings
        }
    }
}

fn read(env: &Env) -> Result<(KafkaConfig, Topics), ConfigError> {
    let config = KafkaConfig::from_env(env)?;
    let topics = Topics::new(&config.prefix, &env.parse("RETRY_DELAYS", RetryLadder::default())?);
    Ok((config, topics))
}

/// A line for each remedy, the most urgent first.
fn of_topics(seen: &Inspection, total: usize) -> Vec<Finding> {
    let mut remedies: Vec<(Status, String, String, Vec<&str>)> = Vec::new();
    for (topic, flaw) in &seen.flaws {
        let (status, what, remedy) = judged(flaw);
        match remedies.iter_mut().find(|(_, known, ..)| *known == what) {
            Some((.., topics)) => topics.push(topic),
            None => remedies.push((status, what, remedy, vec![topic])),
        }
    }
    remedies.sort_by_key(|(status, ..)| Reverse(*status));
    let mut findings: Vec<Finding> = remedies
        .into_iter()
        .map(|(status, what, remedy, topics)| {
            let detail = format!("{what}: {}", named(&topics));
            Finding { check: TOPICS, status, detail, advice: Some(remedy) }
        })
        .collect();
    if let Err(why) = &seen.settings {
        let detail = format!("their settings cannot be read ({why})");
        findings.push(Finding::warn(TOPICS, detail, "give this user DescribeConfigs on them (OPERATIONS.md, Rights)"));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(TOPICS, format!("all {total} are there, as `calctl topics apply` makes them")));
    }
    findings
}

fn named(topics: &[&str]) -> String {
    match topics.split_at_checked(SHOWN) {
        Some((shown, rest)) if !rest.is_empty() => format!("{} and {} more", shown.join(", "), rest.len()),
        _ => topics.join(", "),
    }
}

/// How bad it is, what is wrong, and what to do.
fn judged(flaw: &TopicFlaw) -> (Status, String, String) {
    let alter = |name: &str, wanted: &str| format!("kafka-configs --alter --add-config {name}={wanted}");
    match flaw {
        TopicFlaw::Missing => {
            (Status::Fail, "missing".to_owned(), "run `calctl topics apply` (is TOPIC_PREFIX right?)".to_owned())
        }
        TopicFlaw::Forbidden => {
            (Status::Fail, "forbidden to this user".to_owned(), "give it Describe (OPERATIONS.md, Rights)".to_owned())
        }
        TopicFlaw::TooFewPartitions { found } => (
            Status::Fail,
            format!("only {found} partitions"),
            format!("add partitions, or set TOPIC_PARTITIONS={found} everywhere"),
        ),
        TopicFlaw::NoLeader { partitions } => (
            Status::Fail,
            format!("{partitions} partitions without a leader"),
            "bring back the brokers that have their copies".to_owned(),
        ),
        TopicFlaw::OutOfSync { partitions } => (
            Status::Warn,
            format!("{partitions} partitions with copies that are behind"),
            "is a broker down, or catching up?".to_owned(),
        ),
        TopicFlaw::TooFewCopies { found } => (
            Status::Warn,
            format!("only {found} copies"),
            "reassign them (kafka-reassign-partitions), or lower TOPIC_REPLICATION".to_owned(),
        ),
        TopicFlaw::Setting { name, found, wanted } => {
            // A compacted topic loses events.
            let status = if *name == "cleanup.policy" { Status::Fail } else { Status::Warn };
            (status, format!("{name} is {found}, not {wanted}"), alter(name, wanted))
        }
    }
}

fn of_group(group: &Result<GroupState, GroupTrouble>, check: &'static str, service: &str) -> Finding {
    let group = match group {
        Ok(group) => group,
        Err(trouble) => {
            let advice = match trouble {
                GroupTrouble::Forbidden => "give this user Describe on both (OPERATIONS.md, Rights)",
                GroupTrouble::NoAnswer(_) => "run it again; is one of the brokers down?",
            };
            return Finding::fail(check, trouble.to_string(), advice);
        }
    };
    let GroupState { name, members, lag } = group;
    let waiting = counted(lag, "record");
    match (members, lag) {
        (0, 0) => {
            Finding::warn(check, format!("{name} has no members, and nothing waits"), format!("start a {service}"))
        }
        (0, _) => {
            let detail = format!("{name} has no members, waiting: {waiting}");
            Finding::fail(check, detail, format!("start a {service}; its log says why it does not read"))
        }
        (members, _) => Finding::ok(check, format!("{name} has {}, waiting: {waiting}", counted(members, "member"))),
    }
}

fn counted(number: &impl Display, what: &str) -> String {
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {what}{plural}")
}

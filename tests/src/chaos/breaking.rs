//! One disturbance after the other, chosen by the seed, each undone before the next.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::stack::Stack;
use crate::stripe::{Endpoint, Fault, Injection};

const PAUSE: std::ops::Range<u64> = 500..2500;
const OUTAGE: std::ops::Range<u64> = 1000..6000;

/// Breaks things until the time is up, heals everything, and says what was broken how often.
pub(super) async fn run(stack: &Stack, until: Instant, seed: u64) -> String {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut broken: BTreeMap<&'static str, u32> = BTreeMap::new();
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(rng.random_range(PAUSE))).await;
        *broken.entry(disturb(stack, &mut rng).await).or_default() += 1;
        stack.supervise();
    }
    let counts: Vec<String> = broken.iter().map(|(what, times)| format!("{what} {times} times")).collect();
    counts.join(", ")
}

async fn disturb(stack: &Stack, rng: &mut StdRng) -> &'static str {
    let outage = Duration::from_millis(rng.random_range(OUTAGE));
    match rng.random_range(0..10) {
        0..4 => {
            stack.replace(rng.random_range(0..stack.services.len())).await;
            "a service killed"
        }
        4 => {
            stack.kafka.freeze();
            tokio::time::sleep(outage).await;
            stack.kafka.thaw();
            "the broker frozen"
        }
        5 => {
            tokio::task::block_in_place(|| {
                stack.kafka.kill();
                stack.kafka.restart();
            });
            "the broker killed"
        }
        6 => {
            tokio::task::block_in_place(|| {
                stack.postgres.kill();
                stack.postgres.restart();
            });
            "the database killed"
        }
        7 => {
            stack.stripe.go_down();
            tokio::time::sleep(outage).await;
            stack.stripe.clear_faults();
            "Stripe away"
        }
        8 => {
            let faults = [Fault::ExecuteThen500, Fault::ExecuteThenDrop, Fault::Saved500, Fault::status(429)];
            for endpoint in [Endpoint::CreateSession, Endpoint::ExpireSession, Endpoint::CreateRefund] {
                for fault in &faults {
                    stack.stripe.inject(endpoint, fault.clone());
                }
            }
            "Stripe unreliable"
        }
        _ => {
            let slow = Injection::any(Fault::delay(Duration::from_millis(800))).always();
            stack.stripe.inject_with(slow);
            tokio::time::sleep(outage).await;
            stack.stripe.clear_faults();
            "Stripe slow"
        }
    }
}

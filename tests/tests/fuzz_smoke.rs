//! Runs the fuzz targets over their corpus, and over mutations of it, with the stable toolchain.

#[path = "../../fuzz/src/targets.rs"]
mod targets;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus");

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(format!("{CORPUS}/{target}")).expect("the corpus is in the repository");
    let mut inputs: Vec<_> = entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap()).collect();
    inputs.sort_unstable();
    assert!(!inputs.is_empty());
    inputs
}

/// The same on every run: what fails here fails again.
fn mutated(input: &[u8], inputs: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..random.random_range(1..8) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..5) {
            0 if at < bytes.len() => bytes[at] = random.random(),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            _ => {
                let other = &inputs[random.random_range(0..inputs.len())];
                let from = random.random_range(0..=other.len());
                let to = (from + random.random_range(0..40)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
    bytes
}

fn run(name: &str, target: fn(&[u8]), mutations: usize) {
    let inputs = corpus(name);
    let mut random = StdRng::seed_from_u64(6);
    for input in &inputs {
        target(input);
        for _ in 0..mutations.div_ceil(inputs.len()) {
            target(&mutated(input, &inputs, &mut random));
        }
    }
}

#[test]
fn signature() {
    run("signature", targets::signature, 20_000);
}

#[test]
fn delivery() {
    run("delivery", targets::delivery, 5_000);
}

#[test]
fn avro() {
    run("avro", targets::avro, 5_000);
}

#[test]
fn headers() {
    run("headers", targets::headers, 20_000);
}

#[test]
fn spool() {
    run("spool", targets::spool, 300);
}

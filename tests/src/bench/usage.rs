//! What a process used, as Linux tells it.

use std::fs;
use std::time::{Duration, Instant};

/// Ticks of `/proc/<pid>/stat` are hundredths of a second for every program, whatever the kernel's own clock.
const TICK: Duration = Duration::from_millis(10);

/// What a running process has used so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all its threads.
    pub cpu: Duration,
    /// Resident memory now, in bytes.
    pub rss: u64,
    /// The most that it was, in bytes.
    pub peak_rss: u64,
}

impl Usage {
    /// Of the process `pid`.
    ///
    /// # Panics
    /// When there is no such process.
    pub fn of(pid: u32) -> Self {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
        };
        let status = read("status");
        Self { cpu: cpu(&read("stat")), rss: bytes(&status, "VmRSS:"), peak_rss: bytes(&status, "VmHWM:") }
    }

    /// [`Usage::peak_rss`] in MiB.
    #[expect(clippy::cast_precision_loss, reason = "far smaller than 2^52")]
    pub fn peak_mib(self) -> f64 {
        self.peak_rss as f64 / 1024.0 / 1024.0
    }
}

fn cpu(stat: &str) -> Duration {
    // The program's name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(") ").expect("the format of /proc/<pid>/stat");
    let ticks = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u32>().expect("a number of ticks"));
    TICK * ticks.sum::<u32>()
}

fn bytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a running process has memory");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
    kib * 1024
}

/// Time and processor time of one process, from a moment on.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    pid: u32,
    begun: Instant,
    cpu: Duration,
}

impl Stopwatch {
    /// Starts to measure the process `pid`.
    pub fn start(pid: u32) -> Self {
        Self { pid, begun: Instant::now(), cpu: Usage::of(pid).cpu }
    }

    /// Wall clock so far.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// User and system time so far.
    pub fn cpu(&self) -> Duration {
        Usage::of(self.pid).cpu.saturating_sub(self.cpu)
    }
}

/// Waits until the process `pid` does next to nothing, for a broker that was put to work and is left alone now.
///
/// Java compiles what runs most, in the background and one method after the other; a young broker has a minute or two
/// of it to do, which everything that is measured then would pay for. Goes on, with a warning, when it never rests.
///
/// # Panics
/// When there is no such process.
pub(super) async fn at_rest(pid: u32) {
    let until = Instant::now() + REST_DEADLINE;
    loop {
        let watch = Stopwatch::start(pid);
        tokio::time::sleep(REST).await;
        if watch.cpu() < REST.mul_f64(LITTLE) {
            return;
        }
        if Instant::now() > until {
            eprintln!("bench: process {pid} is still busy after {REST_DEADLINE:?}, which costs what is measured now");
            return;
        }
    }
}

const REST: Duration = Duration::from_secs(2);
/// Of a core. An idle broker has some timers.
const LITTLE: f64 = 0.15;
const REST_DEADLINE: Duration = Duration::from_mins(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 150 25 0 0 20 0 9 0 1 1 1";
        assert_eq!(cpu(stat), Duration::from_millis(1750));
        assert_eq!(bytes("VmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n", "VmRSS:"), 1024 * 1024);
        let this = Usage::of(std::process::id());
        assert!(this.peak_rss >= this.rss && this.rss > 0);
    }
}

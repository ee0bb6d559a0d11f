//! Processor time, memory, files and threads of this process, under the names that all of Prometheus' own clients use.

use std::sync::LazyLock;

use metrics_process::Collector;

static COLLECTOR: LazyLock<Collector> = LazyLock::new(Collector::default);

/// The process as the operating system sees it.
pub(super) struct Process;

impl Process {
    pub(super) fn describe() {
        COLLECTOR.describe();
    }

    /// Reads the numbers from the operating system.
    pub(super) fn collect() {
        COLLECTOR.collect();
    }
}

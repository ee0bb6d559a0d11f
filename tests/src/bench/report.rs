//! Figures, their targets, and how they are shown.

use std::fs;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::rundir::target_dir;
use crate::table::table;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// One measured number.
#[derive(Clone, Debug)]
pub struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    target: Option<Target>,
}

impl Figure {
    /// A number without a target.
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, target: None }
    }

    /// It should be `least` or more.
    #[must_use]
    pub fn at_least(mut self, least: f64) -> Self {
        self.target = Some(Target::AtLeast(least));
        self
    }

    /// It should be `most` or less.
    #[must_use]
    pub fn at_most(mut self, most: f64) -> Self {
        self.target = Some(Target::AtMost(most));
        self
    }

    /// The number itself.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// Whether the target is met; `None` without one.
    pub fn is_met(&self) -> Option<bool> {
        self.target.map(|target| match target {
            Target::AtLeast(least) => self.value >= least,
            Target::AtMost(most) => self.value <= most,
        })
    }

    fn row(&self, scenario: &str) -> Vec<String> {
        let target = match self.target {
            Some(Target::AtLeast(least)) => format!(">= {}", number(least)),
            Some(Target::AtMost(most)) => format!("<= {}", number(most)),
            None => String::new(),
        };
        let met = self.is_met().map_or("", |met| if met { "met" } else { "MISSED" });
        let value = format!("{:>9} {}", number(self.value), self.unit);
        vec![scenario.to_owned(), self.name.clone(), value, target, met.to_owned()]
    }

    fn json(&self) -> Value {
        let target = match self.target {
            Some(Target::AtLeast(least)) => json!({ "at_least": least }),
            Some(Target::AtMost(most)) => json!({ "at_most": most }),
            None => Value::Null,
        };
        json!({ "name": self.name, "value": self.value, "unit": self.unit, "target": target, "met": self.is_met() })
    }
}

/// The table for people.
pub(super) fn render(figures: &[(&str, Figure)]) -> String {
    let rows: Vec<_> = figures.iter().map(|(scenario, figure)| figure.row(scenario)).collect();
    table(&["scenario", "figure", "measured", "target", ""], &rows)
}

/// The same for programs, below cargo's target folder.
pub(super) fn write(scenario: &str, figures: &[Figure]) {
    let machine = json!({
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "load_average": fs::read_to_string("/proc/loadavg").unwrap_or_default().trim(),
    });
    let figures: Vec<_> = figures.iter().map(Figure::json).collect();
    let report =
        json!({ "scenario": scenario, "at": Timestamp::now().to_string(), "machine": machine, "figures": figures });
    let dir = target_dir().join("bench");
    let path = dir.join(format!("{scenario}.json"));
    let written = fs::create_dir_all(&dir).and_then(|()| fs::write(&path, format!("{report:#}\n")));
    written.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    eprintln!("bench: wrote {}", path.display());
}

/// As many digits as say something.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        some if some >= 10.0 => format!("{value:.1}"),
        one if one >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_count_at_their_limits() {
        let figure = Figure::new("rate", 10.0, "/s");
        assert_eq!(figure.is_met(), None);
        assert_eq!(figure.clone().at_least(10.0).is_met(), Some(true));
        assert_eq!(figure.clone().at_most(9.9).is_met(), Some(false));
        let text = render(&[("retrier", figure.at_least(20.0))]);
        assert!(text.contains("10.0 /s") && text.contains(">= 20.0") && text.contains("MISSED"), "{text}");
    }
}

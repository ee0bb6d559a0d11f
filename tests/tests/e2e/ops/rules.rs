//! Rules and configurations, by the tools of Prometheus and Alertmanager. None of it needs a service.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tests::prometheus::{ops, tool};

const RUNBOOK: &str = include_str!("../../../../docs/RUNBOOK.md");

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(ops(folder)).expect("the folder is there");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("the folder can be listed").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} has no files");
    files
}

fn texts(folder: &str) -> Vec<String> {
    files(folder).iter().map(|file| fs::read_to_string(file).expect("rules are text")).collect()
}

fn succeeds(command: &mut Command) {
    let output = command.output().expect("the found binary can be run");
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed:\n{out}{error}");
}

/// The values of all lines of the rules that begin with `key`.
fn rules(key: &str) -> Vec<String> {
    let texts = texts("prometheus/rules");
    let values = |text: &str| {
        let lines = text.lines().map(|line| line.trim_start().trim_start_matches("- "));
        lines.filter_map(|line| line.strip_prefix(key)).map(|value| value.trim().to_owned()).collect::<Vec<_>>()
    };
    texts.iter().flat_map(|text| values(text)).collect()
}

#[test]
fn the_configurations_are_valid() {
    succeeds(tool("promtool").args(["check", "config"]).arg(ops("prometheus/prometheus.yml")));
    succeeds(tool("promtool").args(["check", "rules"]).args(files("prometheus/rules")));
    let alertmanager = ops("alertmanager/alertmanager.yml");
    succeeds(tool("amtool").arg("check-config").arg(&alertmanager));
    let severities: BTreeSet<_> = rules("labels: {severity:").into_iter().collect();
    for severity in severities.iter().map(|severity| severity.trim_end_matches('}')) {
        assert!(["page", "ticket"].contains(&severity), "{severity} has no route of its own");
        let mut routed = tool("amtool");
        routed.args(["config", "routes", "test", "--verify.receivers=webhook"]).arg("--config.file").arg(&alertmanager);
        succeeds(routed.arg(format!("severity={severity}")));
    }
}

#[test]
fn every_alert_fires_when_it_should_and_at_no_other_time() {
    succeeds(tool("promtool").args(["test", "rules"]).args(files("prometheus/tests")));
}

#[test]
fn every_alert_is_tested_firing_and_silent() {
    let tests = texts("prometheus/tests").concat();
    // An expectation is an expression, a time, and either samples or none.
    let expectations: Vec<_> = tests.split("- expr: ").skip(1).collect();
    for alert in rules("alert:") {
        let name = format!("alertname=\"{alert}\"");
        let about_it = expectations.iter().copied().filter(|text| text.contains(&name));
        let (silent, firing): (Vec<&str>, Vec<&str>) = about_it.partition(|text| text.contains("exp_samples: []"));
        assert!(!silent.is_empty(), "no test expects {alert} to be silent");
        assert!(!firing.is_empty(), "no test expects {alert} to fire");
    }
}

#[test]
fn every_alert_has_its_section_in_the_runbook() {
    let sections = RUNBOOK.lines().filter_map(|line| line.strip_prefix("## ")).filter(|title| !title.contains(' '));
    let sections: BTreeSet<_> = sections.map(str::to_owned).collect();
    assert_eq!(sections, rules("alert:").into_iter().collect());
    let links: BTreeSet<_> = rules("runbook_url:").into_iter().collect();
    // GitHub's and GitLab's address of a section is its title in small letters.
    let places = sections.iter().map(|title| format!("docs/RUNBOOK.md#{}", title.to_lowercase()));
    assert_eq!(links, places.collect());
    assert_eq!(rules("alert:").len(), rules("runbook_url:").len(), "each alert has one link");
}

//! The dashboards, as far as that can be said without data.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tests::prometheus::ops;
use tests::rundir;

/// Every dashboard, with its file's name.
pub(super) fn all() -> Vec<(String, Value)> {
    let entries = fs::read_dir(ops("grafana/dashboards")).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("the folder can be listed").path());
    let read = |path: PathBuf| {
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("dashboards are text");
        (name, serde_json::from_str(&text).expect("dashboards are JSON"))
    };
    paths.map(read).collect()
}

/// The elements of an array.
pub(super) fn items(array: &Value) -> &[Value] {
    array.as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[test]
fn the_dashboards_are_what_their_source_makes_and_the_source_keeps_to_grafanas_types() {
    let mut command = Command::new(ops("grafana/generate.sh"));
    let output = command.arg("--check").env("CARGO_TARGET_DIR", rundir::target_dir()).output();
    let output = output.expect("the script can be run");
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{error}");
}

#[test]
fn every_panel_says_what_it_shows_in_which_unit_and_where_to_look_further() {
    let dashboards = all();
    assert_eq!(dashboards.len(), 5);
    for (file, dashboard) in &dashboards {
        let variables: Vec<_> = items(&dashboard["templating"]["list"]).iter().map(|v| text(v, "/name")).collect();
        assert_eq!(variables, ["event_type", "instance", "logs"], "{file}");
        assert_eq!(items(&dashboard["annotations"]["list"]).len(), 1, "{file} marks deploys");
        assert!(!items(&dashboard["panels"]).is_empty());
        for panel in items(&dashboard["panels"]) {
            let name = format!("{file}: {}", text(panel, "/title"));
            for needed in ["/title", "/description", "/fieldConfig/defaults/unit", "/fieldConfig/defaults/noValue"] {
                assert!(!text(panel, needed).is_empty(), "{name} has no {needed}");
            }
            let links = items(&panel["links"]);
            let leads = |to: &str| links.iter().any(|link| text(link, "/url").contains(to));
            let of_alerts = text(panel, "/title") == "Alerts";
            assert!(of_alerts || leads("jaeger") || leads("%24logs") || leads("${logs}"), "{name} leads nowhere");
            for target in items(&panel["targets"]) {
                assert_eq!(text(target, "/datasource/uid"), "prometheus", "{name}");
            }
        }
    }
}

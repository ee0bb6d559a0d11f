//! What a check came to, and how that looks.

use std::fmt::Write as _;

use runtime::env::ConfigError;
use serde::Serialize;

/// How bad it is, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// There is nothing to look at.
    Skip,
    Ok,
    /// It works, and should be looked at.
    Warn,
    /// It does not work.
    Fail,
}

impl Status {
    fn mark(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    fn colour(self) -> u8 {
        match self {
            Self::Skip => 90,
            Self::Ok => 32,
            Self::Warn => 33,
            Self::Fail => 31,
        }
    }
}

/// One line.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) status: Status,
    /// What was found. Nothing secret and nothing personal.
    pub(super) detail: String,
    /// What to do.
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, detail: detail.into(), advice: None }
    }

    pub(super) fn warn(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, status: Status::Warn, detail: detail.into(), advice: Some(advice.into()) }
    }

    pub(super) fn fail(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, status: Status::Fail, detail: detail.into(), advice: Some(advice.into()) }
    }

    /// What our errors say: what is wrong, and behind a semicolon what to do.
    pub(super) fn fail_of(check: &'static str, error: &str, else_advice: &str) -> Self {
        let (detail, advice) = error.split_once("; ").unwrap_or((error, else_advice));
        Self::fail(check, detail, advice)
    }

    pub(super) fn skip(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, status: Status::Skip, detail: detail.into(), advice: None }
    }

    /// There is no such thing here.
    pub(super) fn not_configured(check: &'static str, variable: &str) -> Self {
        Self::skip(check, format!("not configured ({variable})"))
    }

    /// What to look at cannot be read; `configuration` says so in red.
    pub(super) fn unreadable(check: &'static str, error: &ConfigError) -> Self {
        Self::skip(check, format!("not looked at: {} is wrong or missing", error.variable()))
    }
}

/// A line for each.
pub(super) fn text(findings: &[Finding], coloured: bool) -> String {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    findings.iter().fold(String::new(), |mut text, finding| {
        let Finding { check, status, detail, advice } = finding;
        let mark = format!("{:<4}", status.mark());
        let mark = if coloured { format!("\x1b[{}m{mark}\x1b[0m", status.colour()) } else { mark };
        let advice = advice.as_ref().map_or_else(String::new, |advice| format!(" → {advice}"));
        // What servers say is among it.
        let said = format!("{detail}{advice}").replace(char::is_control, " ");
        let _ = writeln!(text, "{mark}  {check:<width$}  {said}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_and_colours_only_when_wanted() {
        let findings = [Finding::ok("kafka", "1 broker"), Finding::fail("postgres", "no\x1b[2J", "start it")];
        assert_eq!(text(&findings, false), "ok    kafka     1 broker\nfail  postgres  no [2J → start it\n");
        assert!(text(&findings, true).starts_with("\x1b[32mok  \x1b[0m  kafka"));
    }
}

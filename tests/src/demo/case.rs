//! One line of the demo's table: what was done, what came of it, and what should have come of it.

use std::fmt::Display;

use super::eyes::Booking;
use crate::stripe::BookingMoney;

/// One scripted story.
#[derive(Debug)]
pub(super) struct Case {
    title: String,
    answers: Vec<u16>,
    pub(super) went: Vec<String>,
    pub(super) booking: String,
    pub(super) money: String,
    problems: Vec<String>,
    /// How the booking and its money were left, to see at the end that nothing changed them.
    pub(super) left: Option<(Booking, BookingMoney)>,
}

impl Case {
    pub(super) const COLUMNS: [&'static str; 6] = ["delivery", "answer", "where it went", "booking", "money", "ok"];

    pub(super) fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            answers: Vec::new(),
            went: Vec::new(),
            booking: "none".to_owned(),
            money: "none".to_owned(),
            problems: Vec::new(),
            left: None,
        }
    }

    pub(super) fn answered(&mut self, status: u16) {
        self.answers.push(status);
    }

    pub(super) fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    pub(super) fn expect<T: PartialEq + Display>(&mut self, what: impl Display, wanted: &T, found: &T) {
        if wanted != found {
            self.problem(format!("{what}: expected {wanted}, found {found}"));
        }
    }

    pub(super) fn cells(&self) -> Vec<String> {
        let answers: Vec<_> = self.answers.iter().map(ToString::to_string).collect();
        let went = if self.went.is_empty() { "nowhere".to_owned() } else { self.went.join("\n") };
        let ok = if self.problems.is_empty() { "yes" } else { "NO" };
        vec![self.title.clone(), answers.join("\n"), went, self.booking.clone(), self.money.clone(), ok.to_owned()]
    }

    /// What is not as expected, in whole sentences.
    pub(super) fn differences(&self) -> impl Iterator<Item = String> {
        let title = self.title.lines().collect::<Vec<_>>().join(" ");
        self.problems.iter().map(move |problem| format!("{title}: {problem}"))
    }
}

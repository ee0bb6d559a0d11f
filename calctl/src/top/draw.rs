//! The overview as lines for a terminal. What is well is plain, what somebody should look at is coloured.

use std::collections::BTreeMap;

use super::overview::{Overview, Quantiles, Service, Waiting, total};

/// Records that wait longer than this are worth a look.
const LONG_SECONDS: f64 = 30.0;
/// Releases must follow their due time within a second.
const LATE_SECONDS: f64 = 1.0;

/// How a part of a line is to be seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Good,
    Odd,
    Bad,
}

struct Pen {
    coloured: bool,
}

impl Pen {
    fn write(&self, look: Look, text: &str) -> String {
        let code = match look {
            Look::Good => return text.to_owned(),
            Look::Odd => 33,
            Look::Bad => 31,
        };
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// `text` looks like `look` when `is_so`.
    fn when(&self, is_so: bool, look: Look, text: &str) -> String {
        self.write(if is_so { look } else { Look::Good }, text)
    }
}

pub(super) fn text(overview: &Overview, coloured: bool) -> String {
    let pen = Pen { coloured };
    let services: Vec<String> = overview.services.iter().map(|s| service(&pen, s)).collect();
    let mut lines = vec![
        ("services", services.join("  ")),
        ("accepted", accepted(&pen, overview)),
        ("finished", finished(&pen, overview)),
        ("took", overview.end_to_end_seconds.as_ref().map_or_else(|| "no event yet".to_owned(), took)),
        ("lag", lag(&pen, &overview.lag)),
        ("waiting", tiers(&pen, &overview.waiting)),
        ("dead", dead(&pen, overview)),
        ("stripe", stripe(&pen, overview)),
        ("money", money(&pen, overview)),
    ];
    if !overview.breaker_open.is_empty() {
        let text = format!("open ({}): all events are held back", overview.breaker_open.join(", "));
        lines.insert(1, ("breaker", pen.write(Look::Bad, &text)));
    }
    lines.iter().fold(String::new(), |drawn, (name, text)| drawn + &format!("{name:<9} {text}\n"))
}

fn service(pen: &Pen, service: &Service) -> String {
    match &service.name {
        None => pen.write(Look::Bad, &format!("{} does not answer", service.address)),
        Some(name) if service.ready => format!("{name} ready"),
        Some(name) => pen.write(Look::Bad, &format!("{name} not ready ({})", service.down.join(", "))),
    }
}

fn rate(rates: &BTreeMap<String, f64>, name: &str) -> f64 {
    rates.get(name).copied().unwrap_or(0.0)
}

/// `12.3/s name`, coloured when there is any.
fn flow(pen: &Pen, rates: &BTreeMap<String, f64>, name: &str, look: Look) -> String {
    let rate = rate(rates, name);
    pen.when(rate > 0.0, look, &format!("{rate:.1}/s {}", name.replace('_', " ")))
}

fn accepted(pen: &Pen, overview: &Overview) -> String {
    let requests = &overview.requests;
    let refused = requests.iter().filter(|(name, _)| !["accepted", "spooled", "unavailable"].contains(&name.as_str()));
    let refused = total(refused.map(|(_, rate)| *rate));
    let mut parts = vec![
        flow(pen, requests, "accepted", Look::Good),
        flow(pen, requests, "spooled", Look::Odd),
        flow(pen, requests, "unavailable", Look::Bad),
        format!("{refused:.1}/s refused"),
    ];
    if overview.spool.records > 0.0 {
        let text = format!("spool {} ({})", count(overview.spool.records), time(overview.spool.seconds));
        parts.push(pen.write(Look::Odd, &text));
    }
    parts.join("  ")
}

fn finished(pen: &Pen, overview: &Overview) -> String {
    let looks = [
        ("applied", Look::Good),
        ("duplicate", Look::Good),
        ("ignored", Look::Good),
        ("retried", Look::Odd),
        ("dead", Look::Bad),
    ];
    let mut parts: Vec<String> =
        looks.into_iter().map(|(name, look)| flow(pen, &overview.processed, name, look)).collect();
    let all = total(overview.processed.values().copied());
    if all > 0.0 {
        let failed = rate(&overview.processed, "retried") + rate(&overview.processed, "dead");
        parts.push(pen.when(failed > 0.0, Look::Odd, &format!("{:.1} % succeed", 100.0 * (all - failed) / all)));
    }
    parts.join("  ")
}

fn took(Quantiles { p50, p95, p99 }: &Quantiles) -> String {
    format!("p50 {}  p95 {}  p99 {}  from receipt to effect", time(*p50), time(*p95), time(*p99))
}

fn lag(pen: &Pen, lag: &BTreeMap<String, Waiting>) -> String {
    // The tiers' lag is what waits in them.
    let topics = lag.iter().filter(|(topic, _)| !topic.contains(".retry."));
    let part = |(topic, waiting): (&String, &Waiting)| {
        let text = format!("{topic} {}{}", count(waiting.records), aged(waiting));
        pen.when(waiting.seconds > LONG_SECONDS, Look::Bad, &text)
    };
    none_or(topics.map(part))
}

fn tiers(pen: &Pen, tiers: &[(String, Waiting)]) -> String {
    let part = |(tier, waiting): &(String, Waiting)| {
        let late = waiting.seconds > LATE_SECONDS;
        let since = if late { format!(" (due for {})", time(waiting.seconds)) } else { String::new() };
        let look = if late { Look::Bad } else { Look::Odd };
        pen.when(late || waiting.records > 0.0, look, &format!("{tier} {}{since}", count(waiting.records)))
    };
    none_or(tiers.iter().map(part))
}

fn dead(pen: &Pen, overview: &Overview) -> String {
    let dying: Vec<String> = overview
        .dying
        .iter()
        .filter(|(_, rate)| **rate > 0.0)
        .map(|(class, rate)| format!("{rate:.1}/s {class}"))
        .collect();
    let now = overview.dead.map_or_else(|| "unknown".to_owned(), |records| format!("{} in the DLQ", count(records)));
    let letters = pen.when(overview.dead.is_some_and(|records| records > 0.0), Look::Odd, &now);
    let news = pen.when(!dying.is_empty(), Look::Bad, &none_new(&dying));
    format!("{letters}  {news}")
}

fn none_new(dying: &[String]) -> String {
    if dying.is_empty() { "none new".to_owned() } else { format!("new: {}", dying.join(", ")) }
}

fn stripe(pen: &Pen, overview: &Overview) -> String {
    let parts = overview.stripe.iter().filter(|(outcome, rate)| *outcome == "ok" || **rate > 0.0);
    let look = |outcome: &str| if outcome == "ok" { Look::Good } else { Look::Odd };
    none_or(parts.map(|(outcome, _)| flow(pen, &overview.stripe, outcome, look(outcome))))
}

fn money(pen: &Pen, overview: &Overview) -> String {
    let money = &overview.money;
    let sums = |sums: &BTreeMap<String, f64>| {
        none_or(sums.iter().filter(|(_, sum)| **sum > 0.0).map(|(currency, sum)| format!("{} {currency}", count(*sum))))
    };
    let failed =
        pen.when(money.refunds_failed > 0.0, Look::Bad, &format!("{} refunds failed", count(money.refunds_failed)));
    format!("in {}  out {}  {failed}  (minor units, since the start)", sums(&money.received), sums(&money.returned))
}

fn none_or(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join("  ") }
}

fn aged(waiting: &Waiting) -> String {
    if waiting.seconds > 0.0 { format!(" ({})", time(waiting.seconds)) } else { String::new() }
}

fn count(number: f64) -> String {
    format!("{number:.0}")
}

fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_sees_colours() {
        let [plain, coloured] = [false, true].map(|coloured| Pen { coloured }.write(Look::Bad, "dead"));
        assert_eq!((plain.as_str(), coloured.as_str()), ("dead", "\x1b[31mdead\x1b[0m"));
        assert_eq!(Pen { coloured: true }.when(false, Look::Bad, "dead"), "dead");
    }

    #[test]
    fn times_are_in_the_unit_that_one_would_say() {
        let said: Vec<String> = [0.0012, 0.25, 1.5, 300.0, 9000.0].map(time).to_vec();
        assert_eq!(said, ["1 ms", "250 ms", "1.5 s", "5 min", "2.5 h"]);
    }
}

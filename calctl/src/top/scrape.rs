//! Reads `/metrics` of the services: Prometheus' text format, as far as ours goes.

use std::collections::BTreeMap;
use std::time::Instant;

use reqwest::{Client, Url};

/// One series of one service.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

impl Series {
    pub(super) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// What one address said; no series when it did not answer.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) address: String,
    pub(super) series: Option<Vec<Series>>,
}

/// What all addresses said at one time.
#[derive(Clone, Debug)]
pub(super) struct Scrape {
    pub(super) at: Instant,
    pub(super) endpoints: Vec<Endpoint>,
}

pub(super) async fn scrape(client: &Client, from: &[Url]) -> Scrape {
    let mut endpoints = Vec::with_capacity(from.len());
    for url in from {
        let address = url.host_str().map_or_else(String::new, |host| match url.port_or_known_default() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        });
        endpoints.push(Endpoint { address, series: read(client, url).await });
    }
    Scrape { at: Instant::now(), endpoints }
}

async fn read(client: &Client, url: &Url) -> Option<Vec<Series>> {
    let mut url = url.clone();
    if url.path() == "/" {
        url.set_path("/metrics");
    }
    let text = client.get(url).send().await.ok()?.error_for_status().ok()?.text().await.ok()?;
    Some(parse(&text))
}

/// Lines that are no samples are passed over.
fn parse(text: &str) -> Vec<Series> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(series).collect()
}

fn series(line: &str) -> Option<Series> {
    let (name, rest) = line.split_at(line.find(['{', ' '])?);
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    Some(Series { name: name.to_owned(), labels, value: value.split_whitespace().next()?.parse().ok()? })
}

/// The labels up to the closing brace, and what comes behind it.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind));
        }
        let (name, behind) = rest.split_once("=\"")?;
        let (value, behind) = quoted(behind)?;
        labels.insert(name.to_owned(), value);
        rest = behind;
    }
}

/// A value up to its closing quote, and what comes behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_labels_and_values() {
        let text = "# HELP a b\n# TYPE a counter\na{x=\"1\",y=\"q\\\"}\\\\,\\n\"} 3\nb 0.5\n\nc{} 1e3\nbroken{x=\"1\n";
        let found = parse(text);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!((found[0].name.as_str(), found[0].label("x"), found[0].value), ("a", "1", 3.0));
        assert_eq!(found[0].label("y"), "q\"}\\,\n");
        assert_eq!((found[1].name.as_str(), found[1].value), ("b", 0.5));
        assert_eq!((found[2].labels.len(), found[2].value), (0, 1000.0));
    }
}

//! Reading a service's `/metrics`.

use std::collections::BTreeMap;

/// One scrape: every series, as `name{label="value",…}`, with its value.
#[derive(Clone, Debug, Default)]
pub struct Metrics(pub BTreeMap<String, f64>);

impl Metrics {
    /// Parses the text format; comments are skipped.
    pub fn parse(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = samples.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        });
        Metrics(pairs.collect())
    }

    /// Sum over all series of `name` that have all of `labels`; 0 when there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).sum()
    }

    /// Is there a series of `name` that has all of `labels`?
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.find(name, labels).next().is_some()
    }

    fn find(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = f64> {
        let matches = move |series: &str| {
            let (series_name, series_labels) = series.split_once('{').unwrap_or((series, ""));
            // The comma or brace before a label keeps `id="1"` from matching `other_id="1"`.
            let series_labels = format!(",{series_labels}");
            series_name == name && labels.iter().all(|(k, v)| series_labels.contains(&format!(",{k}=\"{v}\"")))
        };
        self.0.iter().filter(move |(series, _)| matches(series)).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn sums_the_series_that_match() {
        let text = "# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"1\",y=\"3\"} 4\na{xx=\"1\"} 9\nab 5\n";
        let metrics = Metrics::parse(text);
        assert_eq!(metrics.sum("a", &[("x", "1")]), 7.0);
        assert_eq!(metrics.sum("a", &[("y", "3"), ("x", "1")]), 4.0);
        assert_eq!(metrics.sum("ab", &[]), 5.0);
        assert!(!metrics.has("a", &[("z", "1")]));
    }
}

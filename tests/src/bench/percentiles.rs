//! Percentiles of a sample.

/// A sample, in order.
#[derive(Clone, Debug)]
pub struct Percentiles(Vec<f64>);

impl Percentiles {
    /// Of these values.
    ///
    /// # Panics
    /// When there are none: a benchmark that measured nothing has no result.
    pub fn new(mut values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "nothing was measured");
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The smallest value that at least `percent` of the sample do not exceed.
    #[expect(clippy::cast_precision_loss, reason = "samples are far smaller than 2^52")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the sample's length")]
    pub fn at(&self, percent: f64) -> f64 {
        let rank = (percent / 100.0 * self.0.len() as f64).ceil().clamp(1.0, self.0.len() as f64);
        self.0[rank as usize - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::Percentiles;

    #[test]
    fn nearest_rank() {
        let sample = Percentiles::new((1..=200).rev().map(f64::from).collect());
        assert_eq!([0.0, 50.0, 99.0, 99.9, 100.0].map(|p| sample.at(p)), [1.0, 100.0, 198.0, 200.0, 200.0]);
        assert_eq!(Percentiles::new(vec![7.0]).at(99.0), 7.0);
    }
}

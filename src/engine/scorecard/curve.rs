//! Curves: from a measure's value to a sub-score in 0..=100.

/// A number within this of an edge, threshold or margin is on it.
pub const TOLERANCE: f64 = 1e-9;

/// How a value becomes a sub-score. Sub-scores are within 0..=100.
#[derive(Clone, Debug, PartialEq)]
pub enum Curve {
    /// Straight through the points, flat beyond the first and last. Values rise strictly; at least
    /// one point. `linear { from, to }` is this with two points (0 at `from`, 100 at `to`).
    Piecewise(Vec<(f64, f64)>),
    /// The sub-score of the last step at or below the value; below the first step, the first.
    /// Values rise strictly; at least one step.
    Steps(Vec<(f64, f64)>),
    /// Exact values only; any other is missing.
    Map(Vec<(f64, f64)>),
}

impl Curve {
    /// The curve that is 0 at `from` and 100 at `to`, clamped; `from` > `to` means lower is better.
    pub fn linear(from: f64, to: f64) -> Curve {
        if from < to {
            Curve::Piecewise(vec![(from, 0.0), (to, 100.0)])
        } else {
            Curve::Piecewise(vec![(to, 100.0), (from, 0.0)])
        }
    }

    /// The sub-score of `value`, or `None` where a map does not list it.
    pub fn sub_score(&self, value: f64) -> Option<f64> {
        match self {
            Curve::Piecewise(points) => Some(interpolate(points, value)),
            Curve::Steps(steps) => {
                let reached = steps.partition_point(|(at, _)| *at <= value + TOLERANCE);
                Some(steps[reached.saturating_sub(1)].1)
            }
            Curve::Map(entries) => entries
                .iter()
                .find(|(at, _)| (at - value).abs() <= TOLERANCE)
                .map(|(_, sub_score)| *sub_score),
        }
    }

    /// The value from which on the curve stays flat, so that what only grows with time cannot move
    /// the sub-score any more; `None` if there is no such value.
    pub fn flat_from(&self) -> Option<f64> {
        match self {
            Curve::Piecewise(points) | Curve::Steps(points) => points.last().map(|(at, _)| *at),
            Curve::Map(_) => None,
        }
    }

    /// The value up to which the curve is flat; `None` if there is no such value.
    pub fn flat_until(&self) -> Option<f64> {
        match self {
            Curve::Piecewise(points) | Curve::Steps(points) => points.first().map(|(at, _)| *at),
            Curve::Map(_) => None,
        }
    }
}

fn interpolate(points: &[(f64, f64)], value: f64) -> f64 {
    let above = points.partition_point(|(at, _)| *at <= value);
    match (above.checked_sub(1).map(|i| points[i]), points.get(above)) {
        (None, Some(first)) => first.1,
        (Some(last), None) => last.1,
        (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * (value - x0) / (x1 - x0),
        (None, None) => unreachable!("a piecewise curve has at least one point"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_is_clamped_in_both_directions() {
        let rising = Curve::linear(0.0, 10.0);
        let falling = Curve::linear(45.0, 0.0);
        for (value, up, down) in
            [(-1.0, 0.0, 100.0), (0.0, 0.0, 100.0), (5.0, 50.0, 100.0 - 500.0 / 45.0)]
        {
            assert_eq!(rising.sub_score(value), Some(up));
            assert!((falling.sub_score(value).unwrap() - down).abs() < 1e-12);
        }
        assert_eq!(rising.sub_score(99.0), Some(100.0));
        assert_eq!(falling.sub_score(99.0), Some(0.0));
    }

    #[test]
    fn steps_hold_until_the_next_and_maps_know_only_their_values() {
        let steps = Curve::Steps(vec![(1.0, 20.0), (3.0, 60.0)]);
        for (value, sub_score) in [(0.0, 20.0), (1.0, 20.0), (2.9, 20.0), (3.0, 60.0), (9.0, 60.0)]
        {
            assert_eq!(steps.sub_score(value), Some(sub_score));
        }
        let map = Curve::Map(vec![(0.0, 0.0), (100.0, 100.0)]);
        assert_eq!(map.sub_score(100.0), Some(100.0));
        assert_eq!(map.sub_score(50.0), None);
    }
}

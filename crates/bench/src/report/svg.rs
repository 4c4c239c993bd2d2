//! What all drawings share: text that is safe, numbers that are short, axes with round ticks.
//!
//! Colours are classes and never values, so that one drawing serves a light and a dark page; the
//! style sheet has both palettes.

use flyroom_tensor::math::{log10_64, powi64};

/// Text for HTML, in content and in attributes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters have no place in a page; a null byte would end it.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A coordinate with one digit after the point.
pub(super) fn at(x: f64) -> String {
    let text = format!("{x:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// At most `width` characters.
pub(super) fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// A value on an axis label: as short as it can be.
pub(super) fn label(x: f64) -> String {
    let size = x.abs();
    if x == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e6).contains(&size) {
        return format!("{x:.0e}");
    }
    if size >= 1000.0 && (x / 1000.0).fract() == 0.0 {
        return format!("{}k", x / 1000.0);
    }
    let text = format!("{x:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// From data to a coordinate, straight or logarithmic.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    log: bool,
    from: f64,
    to: f64,
    /// Round values within the range.
    pub ticks: Vec<f64>,
}

impl Axis {
    /// An axis over the values that it can show, drawn from `from` to `to`. A straight one is widened
    /// to round ends.
    pub fn new(values: impl Iterator<Item = f64>, log: bool, from: f64, to: f64) -> Self {
        let shown = values.filter(|v| v.is_finite() && (!log || *v > 0.0));
        let range = shown.fold(None, |range: Option<(f64, f64)>, v| {
            Some(range.map_or((v, v), |(low, high)| (low.min(v), high.max(v))))
        });
        let (low, high) = range.unwrap_or(if log { (0.1, 1.0) } else { (0.0, 1.0) });
        let (low, high, ticks) = if log { log_range(low, high) } else { straight_range(low, high) };
        Self { low, high, log, from, to, ticks }
    }

    /// The coordinate of a value; `None` where it cannot be shown.
    pub fn place(&self, value: f64) -> Option<f64> {
        if !value.is_finite() || (self.log && value <= 0.0) {
            return None;
        }
        let scale = |v: f64| if self.log { log10_64(v) } else { v };
        let share = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low));
        Some(self.from + share.clamp(-0.02, 1.02) * (self.to - self.from))
    }
}

fn straight_range(low: f64, high: f64) -> (f64, f64, Vec<f64>) {
    let (low, high) = if high > low { (low, high) } else { (low - 0.5, high + 0.5) };
    let rough = (high - low) / 4.0;
    let decade = powi64(10.0, log10_64(rough).floor() as i32);
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|m| m * decade)
        .find(|s| *s >= rough * 0.999)
        .unwrap_or(rough);
    let (first, last) = ((low / step + 1e-9).floor(), (high / step - 1e-9).ceil());
    // Through a count, so that ticks are multiples and not sums of rounding.
    let count = (last - first).clamp(1.0, 20.0) as usize;
    let ticks: Vec<f64> = (0..=count).map(|i| (first + i as f64) * step).collect();
    (ticks[0], ticks[count], ticks)
}

/// As wide as the values and no wider: a decade of white on either side would be a third of many
/// drawings. Ticks are the decades inside, or 1, 2 and 5 where there are fewer than two of them.
fn log_range(low: f64, high: f64) -> (f64, f64, Vec<f64>) {
    let (low, high) = (low.max(1e-300), high.min(1e300));
    let (low, high) = if high > 2.0 * low { (low, high) } else { (low / 2.0, high * 2.0) };
    let first = log10_64(low).floor() as i32;
    let last = log10_64(high).ceil() as i32;
    let inside = |tick: &f64| *tick >= low * (1.0 - 1e-9) && *tick <= high * (1.0 + 1e-9);
    let decades: Vec<f64> = (first..=last).map(|k| powi64(10.0, k)).filter(inside).collect();
    let ticks = if decades.len() >= 2 {
        let every = decades.len().div_ceil(6);
        decades.into_iter().step_by(every).collect()
    } else {
        let finer = |k: i32| [1.0, 2.0, 5.0].map(|m| m * powi64(10.0, k));
        (first..=last).flat_map(finer).filter(inside).collect()
    };
    (low, high, ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_cover_the_values() {
        let axis = Axis::new([0.03, 0.97].into_iter(), false, 0.0, 100.0);
        assert_eq!(axis.ticks, [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(axis.place(0.5), Some(50.0));
        let log = Axis::new([0.001, 10.0].into_iter(), true, 100.0, 0.0);
        assert_eq!(log.ticks, [0.001, 0.01, 0.1, 1.0, 10.0]);
        assert_eq!(log.place(0.1), Some(50.0));
        assert_eq!(Axis::new([3.0, 8.0].into_iter(), true, 0.0, 1.0).ticks, [5.0]);
        assert_eq!(log.place(0.0), None);
    }

    #[test]
    fn an_axis_of_nothing_or_of_one_value_or_of_nonsense_is_still_an_axis() {
        for values in [
            vec![],
            vec![3.0],
            vec![f64::NAN, f64::INFINITY],
            vec![0.0, 1e-300],
            vec![-1e300, 1e300],
        ] {
            for log in [false, true] {
                let axis = Axis::new(values.iter().copied(), log, 0.0, 1.0);
                assert!(!axis.ticks.is_empty(), "{values:?}");
                assert!(axis.place(1.0).is_none_or(f64::is_finite), "{values:?}");
            }
        }
    }

    #[test]
    fn labels_are_short() {
        let labels = [0.0, 0.25, 1.0, 1500.0, 20_000.0, 1e-5, 2e7, -0.5].map(label);
        assert_eq!(labels, ["0", "0.25", "1", "1500", "20k", "1e-5", "2e7", "-0.5"]);
    }

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(escape("<b a='\"'>&\0"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;\u{fffd}");
    }
}

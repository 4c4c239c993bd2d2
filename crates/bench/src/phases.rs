//! A phase diagram: what is measured on an organism, over one or two of its parameters, seed by seed and
//! beside the untrained networks of the same seeds.

use crate::report::{Figure, Heatmap, LineChart, Series};
use crate::statistics::{mean, mean_interval, wilson};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What was measured at one setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The value of each parameter, in their order.
    pub at: Vec<Value>,
    /// The measurement, by seed; of a word 1 where it was said and 0 where not.
    pub values: Vec<f64>,
    /// Its mean.
    pub mean: f64,
    /// 95 % interval of the mean (of a word: Wilson's, of its share); `None` of a single seed.
    pub interval: Option<[f64; 2]>,
    /// The same of networks before their first step; `None` of what is never trained.
    pub untrained: Option<Vec<f64>>,
}

/// All settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phases {
    /// Of what.
    pub organism: String,
    /// What is measured: a number, or `metric=word`, the share of seeds with that word.
    pub measure: String,
    /// Whether it is such a share.
    pub share: bool,
    /// The parameters, one or two.
    pub over: Vec<String>,
    /// The seeds, the same of every setting.
    pub seeds: Vec<u64>,
    /// One for each combination, the last parameter fastest.
    pub points: Vec<Point>,
}

impl Phases {
    /// No points yet.
    pub fn new(
        organism: &str,
        measure: &str,
        share: bool,
        over: Vec<String>,
        seeds: Vec<u64>,
    ) -> Self {
        let (organism, measure) = (organism.to_owned(), measure.to_owned());
        Self { organism, measure, share, over, seeds, points: vec![] }
    }

    /// Adds a setting; one of no seeds is left out.
    pub fn add(&mut self, at: Vec<Value>, values: Vec<f64>, untrained: Option<Vec<f64>>) {
        let Some(mean) = mean(&values) else { return };
        let interval = match (self.share, values.len()) {
            (_, 0 | 1) => None,
            (true, n) => {
                wilson(values.iter().filter(|v| **v == 1.0).count() as u64, n as u64, 0.95)
            }
            (false, _) => mean_interval(&values, 0.95),
        };
        self.points.push(Point { at, values, mean, interval, untrained });
    }

    /// A curve over one number; a field of cells over anything else.
    pub fn figure(&self) -> Figure {
        let numbers: Option<Vec<f64>> = self.points.iter().map(|p| p.at[0].as_f64()).collect();
        let what = if self.share {
            format!("share of seeds with {}", self.measure)
        } else {
            self.measure.replace('_', " ")
        };
        match numbers {
            Some(x) if self.over.len() == 1 => self.curve(&what, &x),
            _ => self.field(&what),
        }
    }

    fn curve(&self, what: &str, x: &[f64]) -> Figure {
        let line = |name: &str, dashed: bool, y: &dyn Fn(&Point) -> Option<f64>| {
            let points = self.points.iter().zip(x).filter_map(|(p, x)| Some([*x, y(p)?]));
            let mut points: Vec<[f64; 2]> = points.collect();
            points.sort_by(|a, b| a[0].total_cmp(&b[0]));
            Series { name: name.to_owned(), points, dashed }
        };
        let mut series =
            vec![line(&format!("mean of {} seeds", self.seeds.len()), false, &|p| Some(p.mean))];
        let untrained = line("untrained", true, &|p| mean(p.untrained.as_deref()?));
        if !untrained.points.is_empty() {
            series.push(untrained);
        }
        let dots = |(p, x): (&Point, &f64)| p.values.iter().map(|v| [*x, *v]).collect::<Vec<_>>();
        let (low, high) =
            x.iter().fold((f64::INFINITY, 0.0f64), |(l, h), x| (l.min(*x), h.max(*x)));
        Figure::LineChart(LineChart {
            title: format!("{}: {what} over {}", self.organism, self.over[0].replace('_', " ")),
            caption:
                "The mean over the seeds, beside that of the same networks before their first step."
                    .into(),
            x_label: self.over[0].replace('_', " "),
            y_label: what.to_owned(),
            // A sweep over orders of magnitude.
            log_x: low > 0.0 && high >= 30.0 * low,
            series,
            // Of a word every seed is 0 or 1: the share says it.
            dots: if self.share {
                vec![]
            } else {
                self.points.iter().zip(x).flat_map(dots).collect()
            },
            dots_name: "a seed".into(),
            ..LineChart::default()
        })
    }

    fn field(&self, what: &str) -> Figure {
        let of = |axis: usize| {
            let mut names: Vec<String> = vec![];
            for p in &self.points {
                let name = p.at.get(axis).map_or_else(String::new, word);
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            names
        };
        // One parameter that is no number has a row for each of its values.
        let (rows, columns) = (of(0), of(1));
        let find = |row: &String, column: &String| {
            self.points.iter().find(|p| {
                word(&p.at[0]) == *row && p.at.get(1).map_or_else(String::new, word) == *column
            })
        };
        let table = |f: &dyn Fn(&Point) -> Option<f64>| -> Vec<Vec<Option<f64>>> {
            let row = |r| columns.iter().map(|c| find(r, c).and_then(f)).collect();
            rows.iter().map(row).collect()
        };
        let values = table(&|p| Some(p.mean));
        let nulls = table(&|p| mean(p.untrained.as_deref()?));
        let all: Vec<f64> = nulls.iter().flatten().copied().flatten().collect();
        let said = |v: &Option<f64>| v.map_or_else(String::new, |v| format!("{v:.2}"));
        Figure::Heatmap(Heatmap {
            title: format!("{}: {what}", self.organism),
            caption: format!(
                "Means over {} seeds. Without colour: what the same networks have before their first step \
                 (their mean, {:.2}).",
                self.seeds.len(),
                mean(&all).unwrap_or(0.0)
            ),
            y_label: self.over[0].replace('_', " "),
            x_label: self.over.get(1).map_or_else(String::new, |k| k.replace('_', " ")),
            neutral: mean(&all).unwrap_or(0.0),
            words: values.iter().map(|r| r.iter().map(said).collect()).collect(),
            rows,
            columns,
            values,
            nulls,
            ..Heatmap::default()
        })
    }

    /// Every seed of every setting, a line each.
    pub fn csv(&self) -> String {
        let mut text = self.over.join(",");
        text.push_str(",seed,value,untrained\r\n");
        for p in &self.points {
            for (i, (seed, v)) in self.seeds.iter().zip(&p.values).enumerate() {
                let at: Vec<String> = p.at.iter().map(|v| crate::board::quote(&word(v))).collect();
                let null = p.untrained.as_ref().and_then(|u| u.get(i));
                let null = null.map_or_else(String::new, f64::to_string);
                text.push_str(&format!("{},{seed},{v},{null}\r\n", at.join(",")));
            }
        }
        text
    }
}

/// A value as it is written on an axis.
fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_over_a_number_is_a_curve_with_every_seed_beside_the_untrained() {
        let mut phases = Phases::new("o", "loss", false, vec!["width".into()], vec![7, 8]);
        phases.add(vec![64.into()], vec![1.0, 3.0], Some(vec![5.0, 5.0]));
        phases.add(vec![2.into()], vec![4.0], Some(vec![5.0]));
        phases.add(vec![8.into()], vec![], None);
        assert_eq!(phases.points[0].mean, 2.0);
        // t of one degree of freedom, 12.706 times the error of the mean, 1.
        let [low, high] = phases.points[0].interval.expect("two seeds");
        assert!((low + 10.706).abs() < 1e-2 && (high - 14.706).abs() < 1e-2);
        assert_eq!(phases.points[1].interval, None);
        let Figure::LineChart(chart) = phases.figure() else { panic!("no curve") };
        assert!(chart.log_x);
        assert_eq!(chart.series[0].points, [[2.0, 4.0], [64.0, 2.0]]);
        assert!(chart.series[1].dashed);
        assert_eq!(chart.dots.len(), 3);
        let csv = "width,seed,value,untrained\r\n64,7,1,5\r\n64,8,3,5\r\n2,7,4,5\r\n";
        assert_eq!(phases.csv(), csv);
    }

    #[test]
    fn a_share_has_wilsons_interval_and_two_parameters_make_a_field() {
        let over = vec!["decay".into(), "rotated".into()];
        let mut phases = Phases::new("o", "story=clock", true, over, (0..4).collect());
        phases.add(vec![1.into(), true.into()], vec![1.0, 1.0, 0.0, 1.0], None);
        phases.add(vec![2.into(), false.into()], vec![0.0; 4], None);
        assert_eq!(phases.points[0].interval, wilson(3, 4, 0.95));
        let Figure::Heatmap(field) = phases.figure() else { panic!("no field") };
        assert_eq!(
            (field.rows, field.columns),
            (vec!["1".into(), "2".into()], vec!["true".into(), "false".into()])
        );
        assert_eq!(field.values, [[Some(0.75), None], [None, Some(0.0)]]);
    }

    #[test]
    fn a_picture_is_whole_and_escapes_what_it_is_given() {
        let mut phases = Phases::new("<o>", "loss", false, vec!["width".into()], vec![7, 8]);
        phases.add(vec![1.into()], vec![1.0], None);
        phases.add(vec![2.into()], vec![2.0], None);
        let svg = phases.figure().picture();
        assert!(svg.starts_with("<svg xmlns") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("&lt;o&gt;") && !svg.contains("<o>"));
        assert_eq!(svg.matches("class=\"single\"").count(), 3, "two seeds and the key");
    }
}

//! Which values a variable can hold: on all inputs, and when variables that it reads are set.
//!
//! An exam sets variables one by one and in pairs, so that combinations occur which no input
//! makes. A [`Domain`] is therefore closed: that of a map is its image of the whole product of its
//! arguments' domains, that of a mean holds the means of all small multisets, that of a width all
//! widths.

use flyroom_explanation::rasp::{Combine, Lambda};
use flyroom_explanation::{Code, Value};

/// Values of a domain at most.
const VALUES: usize = 1024;
/// Largest size of a number: a weight holds seven digits.
const LARGEST: f64 = 1e6;
/// Numbers nearer than this are one.
const SAME: f64 = 1e-9;

/// How a variable lies in the residual stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One dimension for each value.
    OneHot,
    /// One dimension.
    Number,
}

/// The values of a variable.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Domain {
    pub form: Form,
    /// Distinct, neither none nor a mixture.
    pub values: Vec<Value>,
    /// Whether it may also hold none, the zero vector.
    pub none: bool,
}

impl Domain {
    /// Values as they are found, in order; equal numbers once.
    pub fn of(found: impl IntoIterator<Item = Value>) -> Result<Self, String> {
        let mut none = false;
        let mut values = vec![];
        for v in found {
            match v {
                Value::None => none = true,
                Value::Unknown | Value::Mixture(_) => {}
                v => values.push(v),
            }
        }
        values.sort();
        values.dedup();
        let numbers = values.iter().all(|v| matches!(v, Value::Int(_) | Value::Real(_)));
        let reals = values.iter().any(|v| matches!(v, Value::Real(_)));
        let form = if numbers && reals { Form::Number } else { Form::OneHot };
        if form == Form::Number {
            values = numbers_once(values);
        }
        let far = |v: &&Value| v.number().is_some_and(|x| x.abs() > LARGEST);
        if let (Form::Number, Some(x)) = (form, values.iter().find(far)) {
            return Err(format!("can be {x}, beyond {LARGEST}; hint: smaller numbers"));
        }
        if values.is_empty() {
            return Err("has no value on any input; hint: leave it out".into());
        }
        if values.len() > VALUES {
            return Err(format!(
                "can hold {} values, more than {VALUES}; hint: a shorter length or a smaller \
                 vocabulary",
                values.len()
            ));
        }
        Ok(Self { form, values, none })
    }

    /// All values, none among them where it may occur.
    pub fn all(&self) -> Vec<Value> {
        self.values.iter().cloned().chain(self.none.then_some(Value::None)).collect()
    }

    /// Dimensions.
    pub fn dims(&self) -> usize {
        match self.form {
            Form::OneHot => self.values.len(),
            Form::Number => 1,
        }
    }

    pub fn code(&self) -> Code {
        match self.form {
            Form::OneHot => Code::OneHot { values: self.values.clone() },
            Form::Number => Code::Scalar { scale: 1.0, offset: 0.0 },
        }
    }

    /// Coordinates of a value; zeros for none and for what the program does not say.
    pub fn encode(&self, v: &Value) -> Vec<f64> {
        match (self.form, v) {
            (Form::Number, v) => vec![v.number().unwrap_or(0.0)],
            (Form::OneHot, v) => {
                self.values.iter().map(|w| f64::from(u8::from(w.same(v)))).collect()
            }
        }
    }
}

/// Sorted numbers, those within rounding of each other once.
fn numbers_once(values: Vec<Value>) -> Vec<Value> {
    let mut numbers: Vec<f64> = values.iter().filter_map(Value::number).collect();
    numbers.sort_by(f64::total_cmp);
    numbers.dedup_by(|b, a| (*b - *a).abs() < SAME);
    numbers.into_iter().map(|x| Value::Real(x + 0.0)).collect()
}

/// Image of a function of one value; what it makes of values that it is not for is nothing.
pub(super) fn image(f: &Lambda, x: &Domain) -> Result<Domain, String> {
    Domain::of(x.all().iter().map(|x| apply(f, x, &Value::None)))
}

/// Image of a function of two values.
pub(super) fn image_of_two(f: &Lambda, x: &Domain, y: &Domain) -> Result<Domain, String> {
    let y = y.all();
    let mut found = vec![];
    for x in x.all() {
        found.extend(y.iter().map(|y| apply(f, &x, y)));
    }
    Domain::of(found)
}

/// A function's value; unknown where it is not for these values.
pub(super) fn apply(f: &Lambda, x: &Value, y: &Value) -> Value {
    f.apply(x, y).map_or(Value::Unknown, |v| v.into_owned())
}

/// What attention can make of up to `length` values of `x`.
pub(super) fn gathered(
    x: &Domain,
    combine: Combine,
    default: &Value,
    length: usize,
) -> Result<Domain, String> {
    let mut values = x.all();
    values.push(default.clone());
    if combine == Combine::Mixture {
        let out = Domain::of(values)?;
        if out.form != x.form {
            return Err(format!(
                "moves values of one kind and has the default {default} of another; hint: a \
                 default of the same kind"
            ));
        }
        return Ok(out);
    }
    let mut numbers = vec![];
    for v in x.all().iter().chain([default]) {
        match (v, v.number()) {
            (Value::None, _) => numbers.push(0.0),
            (_, Some(x)) => numbers.push(x),
            (v, None) => {
                return Err(format!(
                    "is a mean of numbers and reads {v}; hint: aggregate moves it"
                ));
            }
        }
    }
    let default = default.number().unwrap_or(0.0);
    let terms = &numbers[..numbers.len() - 1];
    let mut means = vec![default];
    let mut sums = vec![0.0];
    for n in 1..=length {
        let mut next: Vec<f64> =
            sums.iter().flat_map(|s| terms.iter().map(move |t| s + t)).collect();
        next.sort_by(f64::total_cmp);
        next.dedup_by(|b, a| (*b - *a).abs() < SAME);
        if next.len() > VALUES {
            return Err(format!(
                "is a mean with more than {VALUES} possible sums; hint: a shorter length, or \
                 numbers on a coarser grid"
            ));
        }
        means.extend(next.iter().map(|s| s / n as f64));
        sums = next;
    }
    let mut out = Domain::of(means.into_iter().map(Value::Real))?;
    out.none = false;
    Ok(out)
}

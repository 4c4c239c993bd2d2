//! Elementwise functions of one array.

use crate::kernel::{Applied, Arg, Arg64, Walk};
use crate::{Context, Error, Graph, Kernel, Narrowed, Op, Part, Value, kernels::elementwise, math};
use std::sync::Arc;

/// Elementwise functions. Activations carry their field names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Unary {
    /// max(x, 0); the derivative at 0 is 0.
    Relu,
    /// GPT-2's tanh form, x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
    Gelu,
    /// GELU itself, x P(Z <= x) for a standard normal Z, written x/2 (1 + erf(x / sqrt 2)).
    GeluErf,
    /// x sigmoid(x)
    Silu,
    /// 1 / (1 + exp(-x))
    Sigmoid,
    /// x^2
    Square,
    /// exp x
    Exp,
    /// tanh x
    Tanh,
    /// c x
    Scale(f32),
    /// x + c
    Shift(f32),
}

impl Unary {
    /// f(x) in f64.
    fn value(self, x: f64) -> f64 {
        match self {
            Unary::Relu => x.max(0.0),
            Unary::Gelu => 0.5 * x * (1.0 + math::tanh64(gelu_inner(x))),
            Unary::GeluErf => x * math::normal_cdf64(x),
            Unary::Silu => x / (1.0 + math::exp64(-x)),
            Unary::Sigmoid => 1.0 / (1.0 + math::exp64(-x)),
            Unary::Square => x * x,
            Unary::Exp => math::exp64(x),
            Unary::Tanh => math::tanh64(x),
            Unary::Scale(c) => f64::from(c) * x,
            Unary::Shift(c) => x + f64::from(c),
        }
    }

    /// f'(x) in f64.
    fn slope(self, x: f64) -> f64 {
        match self {
            Unary::Relu => f64::from(x > 0.0),
            Unary::Gelu => {
                let t = math::tanh64(gelu_inner(x));
                let inner = GELU_C * (1.0 + 3.0 * 0.044715 * x * x);
                0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner
            }
            Unary::GeluErf => math::normal_cdf64(x) + x * math::normal_density64(x),
            Unary::Silu => {
                let s = Unary::Sigmoid.value(x);
                s * (1.0 + x * (1.0 - s))
            }
            Unary::Sigmoid => {
                let s = self.value(x);
                s * (1.0 - s)
            }
            Unary::Square => 2.0 * x,
            Unary::Exp => math::exp64(x),
            Unary::Tanh => 1.0 - math::tanh64(x) * math::tanh64(x),
            Unary::Scale(c) => f64::from(c),
            Unary::Shift(_) => 1.0,
        }
    }
}

/// sqrt(2/pi)
const GELU_C: f64 = 0.797_884_560_802_865_4;

fn gelu_inner(x: f64) -> f64 {
    GELU_C * (x + 0.044715 * x * x * x)
}

impl Kernel for Unary {
    fn name(&self) -> &'static str {
        match self {
            Unary::Relu => "relu",
            Unary::Gelu => "gelu",
            Unary::GeluErf => "gelu_erf",
            Unary::Silu => "silu",
            Unary::Sigmoid => "sigmoid",
            Unary::Square => "square",
            Unary::Exp => "exp",
            Unary::Tanh => "tanh",
            Unary::Scale(_) => "scale",
            Unary::Shift(_) => "shift",
        }
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        Ok(x[0].to_vec())
    }

    fn walk(&self, x: &[&[usize]]) -> Option<Walk> {
        Walk::all(1, x[0], 0)
    }

    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        let x = x[0].real();
        match *self {
            Unary::Relu => elementwise::relu(cx, x, y),
            Unary::Gelu => elementwise::gelu_tanh(cx, x, y),
            Unary::GeluErf => elementwise::gelu_erf(cx, x, y),
            Unary::Silu => elementwise::silu(cx, x, y),
            Unary::Sigmoid => elementwise::sigmoid(cx, x, y),
            Unary::Square => elementwise::square(cx, x, y),
            Unary::Exp => elementwise::exp(cx, x, y),
            Unary::Tanh => elementwise::tanh(cx, x, y),
            Unary::Scale(c) => elementwise::scale(cx, x, c, y),
            Unary::Shift(c) => elementwise::add_const(cx, x, c, y),
        }
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        for (y, &x) in y.iter_mut().zip(x[0].real) {
            *y = self.value(x);
        }
    }
}

/// Operands x, dy: f'(x) dy.
#[derive(Debug, Clone, Copy)]
struct Slope(Unary);

impl Kernel for Slope {
    fn name(&self) -> &'static str {
        "slope of an elementwise function"
    }

    fn shape(&self, x: &[&[usize]]) -> Result<Vec<usize>, Error> {
        Ok(x[0].to_vec())
    }

    fn walk(&self, x: &[&[usize]]) -> Option<Walk> {
        Walk::all(2, x[0], 0)
    }

    fn run(&self, cx: &Context, x: &[Arg], y: &mut [f32]) {
        let (x, dy) = (x[0].real(), x[1].real());
        match self.0 {
            Unary::Relu => elementwise::relu_vjp(cx, x, dy, y),
            Unary::Gelu => elementwise::gelu_vjp(cx, x, dy, y),
            Unary::GeluErf => elementwise::gelu_erf_vjp(cx, x, dy, y),
            Unary::Silu => elementwise::silu_vjp(cx, x, dy, y),
            _ => unreachable!("written as other operations"),
        }
    }

    fn reference(&self, x: &[Arg64], y: &mut [f64]) {
        for ((y, &x), &dy) in y.iter_mut().zip(x[0].real).zip(x[1].real) {
            *y = self.0.slope(x) * dy;
        }
    }
}

impl Unary {
    /// f'(x) d, for the cotangent as for the tangent.
    fn times_slope(self, g: &mut Graph, at: Applied, d: Value) -> Result<Value, Error> {
        let (x, y) = (at.x[0], at.y);
        match self {
            Unary::Relu | Unary::Gelu | Unary::GeluErf | Unary::Silu => {
                g.derived(Slope(self), &[x, d])
            }
            Unary::Square => {
                let t = g.mul(x, d)?;
                g.scale(t, 2.0)
            }
            Unary::Exp => g.mul(y, d),
            Unary::Tanh => {
                let t = g.mul(y, y)?;
                let t = g.mul(t, d)?;
                g.sub(d, t)
            }
            Unary::Sigmoid => {
                let t = g.mul(y, y)?;
                let t = g.sub(y, t)?;
                g.mul(t, d)
            }
            Unary::Scale(c) => g.scale(d, c),
            Unary::Shift(_) => Ok(d),
        }
    }
}

impl Op for Unary {
    fn vjp(
        &self,
        g: &mut Graph,
        at: Applied,
        dy: Value,
        _wanted: &[bool],
    ) -> Result<Vec<Option<Value>>, Error> {
        Ok(vec![Some(self.times_slope(g, at, dy)?)])
    }

    fn narrowed(&self, _x: &[&[usize]], part: Part) -> Option<Narrowed> {
        Some((Arc::new(*self), vec![Some(part.axis)]))
    }

    fn jvp(
        &self,
        g: &mut Graph,
        at: Applied,
        dx: &[Option<Value>],
    ) -> Result<Option<Value>, Error> {
        dx[0].map(|d| self.times_slope(g, at, d)).transpose()
    }
}

impl Graph {
    /// An elementwise function.
    pub fn unary(&mut self, f: Unary, x: Value) -> Result<Value, Error> {
        self.apply(f, &[x])
    }

    /// c x
    pub fn scale(&mut self, x: Value, c: f32) -> Result<Value, Error> {
        self.apply(Unary::Scale(c), &[x])
    }

    /// max(x, 0)
    pub fn relu(&mut self, x: Value) -> Result<Value, Error> {
        self.apply(Unary::Relu, &[x])
    }
}

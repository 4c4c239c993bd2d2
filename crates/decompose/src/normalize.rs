//! What happens to each sample before it is encoded and is undone behind the decoder
//! (`normalize_activations` of SAELens, as its version 6.54 computes it at run time).
//!
//! Both norms are of one sample x of d units, so its length, or its mean and spread, are needed again
//! when latents are decoded: a dictionary with a norm reconstructs activations, not latents alone.

use flyroom_tensor::Tensor;

/// SAELens' constant beside the spread.
const EPS: f64 = 1e-5;

/// A norm of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Normalize {
    /// None, or one that lies in the weights (`expected_average_only_in`).
    #[default]
    None,
    /// x sqrt(d) / |x| (`constant_norm_rescale`). A sample of zeros stays.
    ConstantNorm,
    /// (x - mean) / (s + 1e-5) with s^2 = sum (x - mean)^2 / (d - 1), undone as x^ s + mean
    /// (`layer_norm`).
    LayerNorm,
}

impl Normalize {
    /// As SAELens calls them; a norm that is folded into the weights is none.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "none" | "expected_average_only_in" => Self::None,
            "constant_norm_rescale" => Self::ConstantNorm,
            "layer_norm" => Self::LayerNorm,
            _ => return None,
        })
    }

    /// The name of a norm that acts at run time.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::ConstantNorm => Some("constant_norm_rescale"),
            Self::LayerNorm => Some("layer_norm"),
        }
    }

    /// (what is subtracted, what it is divided by then, what a reconstruction is multiplied with).
    fn of(self, x: &[f32]) -> (f64, f64, f64) {
        let d = x.len() as f64;
        let square = |about: f64| x.iter().map(|&x| (f64::from(x) - about).powi(2)).sum::<f64>();
        match self {
            Self::None => (0.0, 1.0, 1.0),
            Self::ConstantNorm => {
                let scale = (square(0.0) / d).sqrt();
                let scale = if scale > 0.0 { scale } else { 1.0 };
                (0.0, scale, scale)
            }
            Self::LayerNorm => {
                let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / d;
                let spread = (square(mean) / (d - 1.0).max(1.0)).sqrt();
                (mean, spread + EPS, spread)
            }
        }
    }

    /// Samples `[sample, unit]` as the encoder reads them.
    pub(crate) fn apply(self, x: &Tensor) -> Tensor {
        let mut out = x.clone();
        if self != Self::None {
            for row in out.data_mut().chunks_exact_mut(width(x)) {
                let (shift, divisor, _) = self.of(row);
                row.iter_mut().for_each(|x| *x = ((f64::from(*x) - shift) / divisor) as f32);
            }
        }
        out
    }

    /// Reconstructions of samples in their own scale.
    pub(crate) fn undo(self, y: &mut Tensor, x: &Tensor) {
        if self != Self::None {
            let rows = y.data_mut().chunks_exact_mut(width(x));
            for (y, x) in rows.zip(x.data().chunks_exact(width(x))) {
                let (shift, _, factor) = self.of(x);
                y.iter_mut().for_each(|y| *y = (f64::from(*y) * factor + shift) as f32);
            }
        }
    }
}

fn width(x: &Tensor) -> usize {
    x.shape().last().copied().unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_norm_is_what_its_equation_says_and_is_undone() {
        let x = Tensor::new(&[2, 2], vec![3., 4., 0., 0.]).unwrap();
        // |x| = 5, so 3, 4 becomes 3, 4 times sqrt(2) / 5.
        let y = Normalize::ConstantNorm.apply(&x);
        let scale = 2f32.sqrt() / 5.0;
        let wanted = [3.0 * scale, 4.0 * scale, 0.0, 0.0];
        assert!(y.data().iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{y:?}");
        // Mean 3.5, s = sqrt(.5).
        let y = Normalize::LayerNorm.apply(&x);
        let wanted = [-0.5 / 0.707_117, 0.5 / 0.707_117, 0.0, 0.0];
        assert!(y.data().iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-5), "{y:?}");
        for norm in [Normalize::None, Normalize::ConstantNorm, Normalize::LayerNorm] {
            let mut back = norm.apply(&x);
            norm.undo(&mut back, &x);
            let off = back.data().iter().zip(x.data()).map(|(a, b)| (a - b).abs());
            // The constant beside the spread is not undone: .5 * 1e-5 / s.
            assert!(off.fold(0.0, f32::max) < 1e-5, "{norm:?}: {back:?}");
        }
    }
}

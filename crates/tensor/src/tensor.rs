//! An array on the host: a shape and its values in row-major order.

use crate::Error;

/// A dense row-major array of f32.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// Fails when `data` does not hold exactly the product of `shape`.
    pub fn new(shape: &[usize], data: Vec<f32>) -> Result<Self, Error> {
        let wanted = shape.iter().product();
        if data.len() != wanted {
            return Err(Error::Length { shape: shape.to_vec(), wanted, got: data.len() });
        }
        Ok(Self { shape: shape.to_vec(), data })
    }

    /// All zeros.
    pub fn zeros(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), data: vec![0.0; shape.iter().product()] }
    }

    /// Each element from its flat row-major index.
    pub fn from_fn(shape: &[usize], f: impl FnMut(usize) -> f32) -> Self {
        Self { shape: shape.to_vec(), data: (0..shape.iter().product()).map(f).collect() }
    }

    /// Lengths of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Values, row-major.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Values, row-major, writable.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The values alone.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// The same values under another shape of equal size.
    pub fn reshaped(self, shape: &[usize]) -> Result<Self, Error> {
        Self::new(shape, self.data)
    }

    /// Row `i` of the array seen as [first axis, everything else].
    pub fn row(&self, i: usize) -> &[f32] {
        let width: usize = self.shape[1..].iter().product();
        &self.data[i * width..(i + 1) * width]
    }

    /// A matrix transposed: [a, b] to [b, a].
    pub fn transposed(&self) -> Result<Self, Error> {
        let &[a, b] = self.shape.as_slice() else {
            return Err(Error::Shapes {
                op: "transpose",
                shapes: vec![self.shape.clone()],
                why: "a matrix has two axes".into(),
            });
        };
        Ok(Self::from_fn(&[b, a], |i| self.data[(i % a) * b + i / a]))
    }
}

//! How one of our parameters lies in a tensor of a file: a first element, and a stride for each axis.
//! Transposed matrices, fused q, k, v and permuted heads are all views, so a family is a table of
//! names and strides, and what it claims of a tensor's shape is checked before an element is read.

use flyroom_tensor::{Error, Tensor};

/// A parameter as part of a tensor of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct View {
    /// The tensor's name in the file.
    pub tensor: String,
    /// Its shape in the file.
    pub shape: Vec<usize>,
    /// Flat index of the first element.
    pub first: usize,
    /// (length, stride), outermost first; their lengths multiply to the parameter's size.
    pub axes: Vec<(usize, usize)>,
}

impl View {
    fn new(tensor: impl Into<String>, shape: &[usize], axes: &[(usize, usize)]) -> Self {
        Self { tensor: tensor.into(), shape: shape.to_vec(), first: 0, axes: axes.to_vec() }
    }

    /// The same elements in the same order.
    pub fn whole(tensor: impl Into<String>, shape: &[usize]) -> Self {
        let n = shape.iter().product();
        Self::new(tensor, shape, &[(n, 1)])
    }

    /// `[a, b]` that lies as `[b, a]`.
    pub fn transposed(tensor: impl Into<String>, a: usize, b: usize) -> Self {
        Self::new(tensor, &[b, a], &[(a, 1), (b, a)])
    }

    /// `[head, d_model, d_head]` that lies as `[head * d_head, d_model]`.
    pub fn reading_heads(tensor: impl Into<String>, heads: usize, d: usize, k: usize) -> Self {
        Self::new(tensor, &[heads * k, d], &[(heads, k * d), (d, 1), (k, d)])
    }

    /// `[head, d_head, d_model]` that lies as `[d_model, head * d_head]`.
    pub fn writing_heads(tensor: impl Into<String>, heads: usize, k: usize, d: usize) -> Self {
        Self::new(tensor, &[d, heads * k], &[(heads * k, 1), (d, heads * k)])
    }

    /// The `which`-th of q, k, v side by side: `[d_model, 3 * head * d_head]` (GPT-2).
    pub fn third(
        tensor: impl Into<String>,
        which: usize,
        heads: usize,
        d: usize,
        k: usize,
    ) -> Self {
        let row = 3 * heads * k;
        let axes = [(heads, k), (d, row), (k, 1)];
        Self { first: which * heads * k, ..Self::new(tensor, &[d, row], &axes) }
    }

    /// Its bias, `[3 * head * d_head]`.
    pub fn third_bias(tensor: impl Into<String>, which: usize, heads: usize, k: usize) -> Self {
        let all = Self::new(tensor, &[3 * heads * k], &[(heads * k, 1)]);
        Self { first: which * heads * k, ..all }
    }

    /// The `which`-th of q, k, v inside each head: `[head * 3 * d_head, d_model]` (GPT-NeoX).
    pub fn of_head(
        tensor: impl Into<String>,
        which: usize,
        heads: usize,
        d: usize,
        k: usize,
    ) -> Self {
        let axes = [(heads, 3 * k * d), (d, 1), (k, d)];
        Self { first: which * k * d, ..Self::new(tensor, &[heads * 3 * k, d], &axes) }
    }

    /// Its bias, `[head * 3 * d_head]`.
    pub fn of_head_bias(tensor: impl Into<String>, which: usize, heads: usize, k: usize) -> Self {
        let all = Self::new(tensor, &[heads * 3 * k], &[(heads, 3 * k), (k, 1)]);
        Self { first: which * k, ..all }
    }

    /// Undoes llama.cpp's order of the coordinates of a head, in which the two of a pair are
    /// neighbours: coordinate i of the first half lies at 2i, of the second at 2i + 1.
    pub fn unpermuted(mut self) -> Self {
        if let Some((k, stride)) = self.axes.pop() {
            self.axes.extend([(2, stride), (k / 2, 2 * stride)]);
        }
        self
    }

    /// The parameter, of shape `wanted`, from the tensor's values.
    pub fn read(&self, from: &Tensor, wanted: &[usize]) -> Result<Tensor, Error> {
        let x = from.data();
        let Some((&(n, stride), outer)) = self.axes.split_last() else {
            return Tensor::new(wanted, x.to_vec());
        };
        let mut starts = vec![self.first];
        for &(len, stride) in outer {
            starts = starts.iter().flat_map(|&s| (0..len).map(move |i| s + i * stride)).collect();
        }
        let mut out = Vec::with_capacity(wanted.iter().product());
        for start in starts {
            if stride == 1 {
                out.extend_from_slice(&x[start..start + n]);
            } else {
                out.extend((0..n).map(|i| x[start + i * stride]));
            }
        }
        Tensor::new(wanted, out)
    }
}

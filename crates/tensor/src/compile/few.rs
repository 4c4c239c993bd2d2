//! A list that stays off the heap as long as it is short: a steady step allocates nothing.

use std::ops::Deref;

/// So many items in place, or more of them on the heap.
pub(super) enum Few<T, const N: usize> {
    Short([T; N], usize),
    Long(Vec<T>),
}

impl<T, const N: usize> Few<T, N> {
    /// The items; `empty` fills the places behind them.
    pub fn new(mut items: impl ExactSizeIterator<Item = T>, empty: impl Fn() -> T) -> Self {
        let len = items.len();
        if len > N {
            return Few::Long(items.collect());
        }
        Few::Short(std::array::from_fn(|_| items.next().unwrap_or_else(&empty)), len)
    }
}

impl<T, const N: usize> Deref for Few<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Few::Short(items, len) => &items[..*len],
            Few::Long(items) => items,
        }
    }
}

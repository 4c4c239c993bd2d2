//! The units of the site themselves: the basis that every other decomposition has to beat.

use crate::method::Method;
use crate::{Data, Dictionary, Encode, Error};
use flyroom_tensor::{Context, Tensor};
use serde::{Deserialize, Serialize};

/// z = x, x^ = z.
pub(crate) const NEURONS: Method<Settings> = Method {
    name: "neurons",
    version: 1,
    summary: "The units of the site as they are: one latent each, nothing learned.",
    source: "baseline",
    run: decompose,
};

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {}

fn decompose(_: Settings, data: &Data, _seed: u64, _cx: &Context) -> Result<Dictionary, Error> {
    let (_, d) = data.checked()?;
    let one = Tensor::from_fn(&[d, d], |i| if i / d == i % d { 1.0 } else { 0.0 });
    let zero = Tensor::zeros(&[d]);
    Dictionary::new(&data.site, one.clone(), zero.clone(), one, zero, Encode::Linear)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decompose;

    #[test]
    fn neurons_read_and_write_every_activation_as_it_is() {
        let cx = Context::single();
        let x = Tensor::from_fn(&[5, 4], |i| (i as f32 - 7.3) * 0.37);
        let data = Data::new("s", x.clone());
        let d = NEURONS.decompose(&data, &NEURONS.defaults(), 0, &cx).unwrap();
        assert_eq!(d.encode(&x, &cx).unwrap(), x);
        assert_eq!(d.reconstruct(&x, &cx).unwrap(), x);
    }
}

//! The units of the site themselves: the basis that every other decomposition has to beat.

use crate::method::{MethodEntry, typed};
use crate::{Data, Decompose, Dictionary, Encode, Error};
use flyroom_organism::{Parameters, defaults_of};
use flyroom_tensor::{Context, Tensor};
use serde::{Deserialize, Serialize};

/// z = x, x^ = z.
pub struct Neurons;

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {}

impl Decompose for Neurons {
    fn entry(&self) -> MethodEntry {
        MethodEntry {
            name: "neurons",
            step: "decompose",
            version: 1,
            summary: "The units of the site as they are: one latent each, nothing learned.",
            source: "baseline",
        }
    }

    fn defaults(&self) -> Parameters {
        defaults_of::<Settings>()
    }

    fn decompose(
        &self,
        data: &Data,
        parameters: &Parameters,
        _seed: u64,
        _cx: &Context,
    ) -> Result<Dictionary, Error> {
        typed::<Settings>("neurons", parameters)?;
        let (_, d) = data.checked()?;
        let one = Tensor::from_fn(&[d, d], |i| if i / d == i % d { 1.0 } else { 0.0 });
        let zero = Tensor::zeros(&[d]);
        Dictionary::new(&data.site, one.clone(), zero.clone(), one, zero, Encode::Linear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neurons_read_and_write_every_activation_as_it_is() {
        let cx = Context::single();
        let x = Tensor::from_fn(&[5, 4], |i| (i as f32 - 7.3) * 0.37);
        let data = Data { site: "s".into(), activations: x.clone() };
        let d = Neurons.decompose(&data, &Neurons.defaults(), 0, &cx).unwrap();
        assert_eq!(d.encode(&x, &cx).unwrap(), x);
        assert_eq!(d.reconstruct(&x, &cx).unwrap(), x);
    }
}

//! Questions to an arm: a sequence, a place of it, and the token that should be said there.

use super::Onion;
use crate::Error;
use flyroom_network::{Inputs, Network, Runner};
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Context, Tensor};

/// What is exchanged, or added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Unigram,
    Bigram,
    Onion,
}

/// One question: `base`, with `token` at `place`.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub base: Vec<u32>,
    pub source: Vec<u32>,
    pub place: usize,
    pub token: u32,
}

impl Pair {
    pub(super) fn wanted(&self) -> Vec<u32> {
        let mut out = self.base.clone();
        out[self.place] = self.token;
        out
    }
}

/// Pairs with the states behind their sequences, `[pair, d_hidden]`.
pub(super) struct Asked {
    pub pairs: Vec<Pair>,
    pub base: Tensor,
    pub source: Tensor,
}

/// The state behind the input.
pub(super) fn site(lesson: &Onion) -> String {
    format!("cells.{}.hook_state", lesson.longest - 1)
}

impl Onion {
    pub(super) fn pair(&self, kind: Kind, random: &mut Generator) -> Pair {
        let n = self.longest;
        let base = self.sequence(random, n);
        let place = random.below(n as u64) as usize;
        let other = 1 + random.below(self.symbols as u64 - 1);
        let token = ((u64::from(base[place]) + other) % self.symbols as u64) as u32;
        let mut source = self.sequence(random, n);
        source[place] = token;
        if kind == Kind::Bigram {
            for near in [place.wrapping_sub(1), place + 1] {
                if let Some(&x) = base.get(near) {
                    source[near] = x;
                }
            }
        }
        Pair { base, source, place, token }
    }

    pub(super) fn asked(
        &self,
        network: &Network,
        pairs: Vec<Pair>,
        cx: &Context,
    ) -> Result<Asked, Error> {
        let states = |of: fn(&Pair) -> Vec<u32>| -> Result<Tensor, Error> {
            let inputs = Inputs::tokens(&pairs.iter().map(of).collect::<Vec<_>>())?;
            let runner = Runner::new(network, &inputs, cx)?;
            let clean = runner.clean(&site(self))?;
            Ok((*clean).clone())
        };
        let (base, source) = (states(|p| p.base.clone())?, states(|p| p.source.clone())?);
        Ok(Asked { pairs, base, source })
    }
}

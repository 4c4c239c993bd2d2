//! Steps of gradient descent, written into weights (von Oswald et al. 2023, Proposition 1).
//!
//! The residual stream holds a vector's own numbers: x, y and the question q. In every layer one head has the
//! x of a point as its key and value y, asks with x + q, and takes rate / n times what it finds from y. So a point's y
//! becomes what is left of it, y - w x, the question's becomes -w x, and the next layer goes on from there.

use super::problem::Problem;
use super::{LAYERS, compared};
use crate::lesson::scores;
use crate::organism::{as_parameters, typed};
use crate::train::Nursery;
use crate::{
    Bred, Entry, Error, Gauge, KnownEdge, Organism, Parameters, Source, Standing, Task, Truth,
};
use flyroom_network::{Architecture, Network, Weights};
use flyroom_tensor::{Context, Tensor};
use serde::{Deserialize, Serialize};

/// From the y of a vector to the answer there.
const OWN: &str = "embed->logits";

/// What a specimen is written from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Steps {
    /// Numbers of x.
    d: usize,
    /// Examples of a context.
    examples: usize,
    /// Steps.
    n_layers: usize,
    /// Learning rate; 0 is the best one of a single step, n / (n + d + 1).
    rate: f64,
}

/// The organism under one of its names.
#[derive(Debug)]
pub(crate) struct Descent {
    name: &'static str,
    summary: &'static str,
    standard: Steps,
}

/// Two steps of a rate that is given.
pub(crate) const IN_CONTEXT_DESCENT: Descent = Descent {
    name: "in-context-descent",
    summary: "Linear attention with the weights of two steps of gradient descent on its context.",
    standard: Steps { d: 5, examples: 10, n_layers: 2, rate: 0.5 },
};

/// The best step.
pub(crate) const IN_CONTEXT_OPTIMAL: Descent = Descent {
    name: "in-context-optimal",
    summary: "Linear attention with the weights of the best single step of gradient descent.",
    standard: Steps { d: 5, examples: 10, n_layers: 1, rate: 0.0 },
};

impl Steps {
    fn problem(&self) -> Problem {
        Problem { d: self.d, examples: self.examples }
    }

    fn check(&self) -> Result<(), String> {
        self.problem().check()?;
        if !(1..=LAYERS).contains(&self.n_layers) {
            return Err(format!("n_layers = {}; hint: from 1 to {LAYERS}", self.n_layers));
        }
        if !(0.0..=10.0).contains(&self.rate) {
            return Err(format!(
                "rate = {} is no rate; hint: to 10, and 0 for the best one of a single step",
                self.rate
            ));
        }
        Ok(())
    }

    fn rate(&self) -> f64 {
        if self.rate > 0.0 { self.rate } else { self.problem().best_rate() }
    }

    fn network(&self) -> Result<Network, Error> {
        let (d, width) = (self.d, self.problem().width());
        let mut c = self.problem().transformer(self.n_layers, width);
        c.d_head = d;
        let architecture = Architecture::Transformer(c);
        let zeros = |(name, shape): (String, Vec<usize>)| (name, Tensor::zeros(&shape));
        let mut weights: Weights =
            Network::parameters(&architecture)?.into_iter().map(zeros).collect();
        let mut set = |name: &str, row: usize, col: usize, x: f32| {
            if let Some(t) = weights.get_mut(name) {
                let cols = t.shape().last().copied().unwrap_or(1);
                t.data_mut()[row * cols + col] = x;
            }
        };
        for i in 0..width {
            set("embed.W_E", i, i, 1.0);
        }
        for layer in 0..self.n_layers {
            let at = |matrix: &str| format!("blocks.{layer}.attn.{matrix}");
            for i in 0..d {
                set(&at("W_K"), i, i, 1.0);
                set(&at("W_Q"), i, i, 1.0);
                set(&at("W_Q"), d + 1 + i, i, 1.0);
            }
            set(&at("W_V"), d, 0, 1.0);
            set(&at("W_O"), 0, d, -self.rate() as f32);
        }
        set("unembed.W_U", d, 0, -1.0);
        Ok(Network::new(architecture, weights)?)
    }

    /// Every head reads the input in all three ways and what the heads before it took from y; all of them are
    /// read at the end. So is the input's own y, which a question has not: no partner moves that edge.
    fn truth(&self) -> Result<Truth, Error> {
        let mut edges = vec![];
        for l in 0..self.n_layers {
            edges.extend(["q", "k", "v"].map(|r| format!("embed->a{l}.h0<{r}>")));
            edges.extend((0..l).map(|from| format!("a{from}.h0->a{l}.h0<v>")));
            edges.push(format!("a{l}.h0->logits"));
        }
        edges.push(OWN.into());
        let known = |text: String| -> Result<KnownEdge, Error> {
            Ok(KnownEdge { edge: text.parse()?, testable: text != OWN })
        };
        Ok(Truth {
            source: Source::Compiled,
            standing: Standing::Exact,
            circuit: Some(edges.into_iter().map(known).collect::<Result<_, _>>()?),
            ..Truth::nothing()
        })
    }
}

impl Descent {
    fn steps(&self, parameters: &Parameters) -> Result<Steps, Error> {
        let steps: Steps = typed(self.name, parameters)?;
        steps.check().map_err(|why| Error::Parameters { organism: self.name.into(), why })?;
        Ok(steps)
    }
}

impl Organism for Descent {
    fn entry(&self) -> Entry {
        Entry {
            name: self.name,
            version: 1,
            summary: self.summary,
            source: Source::Compiled,
            standing: Standing::Exact,
            cost: "none",
        }
    }

    fn defaults(&self) -> Parameters {
        as_parameters(&self.standard)
    }

    /// Seeds differ in the gauge alone.
    fn breed(
        &self,
        parameters: &Parameters,
        seed: u64,
        _: &Context,
        _: &Nursery,
    ) -> Result<Bred, Error> {
        let steps = self.steps(parameters)?;
        let (network, truth) = Gauge::settle(steps.network()?, steps.truth()?, seed, false)?;
        Ok(Bred { network, curve: vec![], truth })
    }

    fn task(&self, parameters: &Parameters, length: Option<usize>) -> Result<Task, Error> {
        let task = self.steps(parameters)?.problem().task(length);
        task.map_err(|why| Error::Parameters { organism: self.name.into(), why })
    }

    fn measure(
        &self,
        parameters: &Parameters,
        network: &Network,
        cx: &Context,
    ) -> Result<Parameters, Error> {
        let task = self.task(parameters, None)?;
        let mut out = scores(&task, network, cx)?;
        out.extend(compared(&self.steps(parameters)?.problem(), &task, network, cx)?);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_network::Runner;

    #[test]
    fn one_to_three_layers_answer_what_as_many_steps_do() {
        for n_layers in 1..=3 {
            let steps = Steps { n_layers, rate: 0.4, ..IN_CONTEXT_DESCENT.standard.clone() };
            let (problem, network) = (steps.problem(), steps.network().unwrap());
            let task = problem.task(None).unwrap();
            let cx = Context::single();
            let found = Runner::new(&network, &task.inputs, &cx).unwrap().logits().unwrap();
            for i in 0..task.clean {
                let wanted = problem.descent(task.inputs.vector_row(i), 0.4, n_layers);
                let got = f64::from(*found.row(i).last().unwrap());
                let wanted = *wanted.last().unwrap();
                assert!((got - wanted).abs() < 1e-4 * wanted.abs().max(1.0), "{got} {wanted}");
            }
        }
    }

    #[test]
    fn what_is_measured_of_a_twin_is_its_algorithm_in_any_gauge() {
        let cx = Context::single();
        let of = |organism: &Descent, set: &str| {
            let set: Parameters = serde_json::from_str(set).unwrap();
            let all = crate::with_defaults(organism, &set).unwrap();
            let bred = organism.breed(&all, 3, &cx, &Nursery::none()).unwrap();
            let found = organism.measure(&all, &bred.network, &cx).unwrap();
            move |key: &str| found[key].as_f64().unwrap()
        };
        let best = of(&IN_CONTEXT_OPTIMAL, "{}");
        assert!(best("step_error") < 1e-9 && best("value_of_y") > 0.999_999);
        assert!(
            (best("rate") - 0.625).abs() < 1e-5 && (best("twice_the_rate") - 0.25).abs() < 1e-5
        );
        let two = of(&IN_CONTEXT_DESCENT, "{}");
        assert!(two("two_steps") > 0.999_999 && two("two_steps_rate") == 0.5);
        assert!(two("step") < 0.95, "{}", two("step"));
        // Of another rate the direction is the same and the length is not.
        let less = of(&IN_CONTEXT_DESCENT, r#"{"n_layers": 1, "rate": 0.3125}"#);
        assert!(less("step") > 0.999_999 && (less("step_error") - 0.25).abs() < 1e-5);
    }

    #[test]
    fn rates_and_sizes_that_make_no_sense_are_refused_with_a_hint() {
        let good = IN_CONTEXT_DESCENT.standard.clone();
        for bad in [
            Steps { rate: -1.0, ..good.clone() },
            Steps { rate: f64::NAN, ..good.clone() },
            Steps { d: 0, ..good.clone() },
            Steps { examples: 1 << 40, ..good.clone() },
            Steps { n_layers: 0, ..good },
        ] {
            assert!(bad.check().unwrap_err().contains("hint:"), "{bad:?}");
        }
    }
}

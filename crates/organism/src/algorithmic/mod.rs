//! Sorting, palindromes, the first unique letter: small transformers about whose attention claims were
//! published.
//!
//! The problems are those of the monthly algorithmic challenges of ARENA (McDougall 2023): one network
//! each, taken apart by hand, and pictures of where its heads attend. Here they are trained from any
//! seed, judged on all sequences there are, and the claim is measured: how much attention goes
//! where it is said to go, and what is left of the accuracy when it goes elsewhere.
//!
//! | file | holds |
//! |---|---|
//! | this one | [`Algorithmic`], the parameters, and the three organisms |
//! | `algorithmic/problem.rs` | sequences, answers, claims |
//! | `algorithmic/pattern.rs` | the locator, and patterns replaced |

mod pattern;
mod problem;

use crate::lesson::{Example, Form, Input, Learned, Lesson, Schedule};
use crate::task::other_inputs;
use crate::{Answers, Distance, Entry, Error, Parameters, Source, Standing, Task, Truth};
use flyroom_explanation::Value;
use flyroom_network::{Architecture, Inputs, Network, Runner};
use flyroom_tensor::random::Generator;
use flyroom_tensor::{Context, Stream};
use pattern::Located;
use problem::{Problem, Sequences};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::ops::Range;

/// Clean inputs of the evaluation set.
const CLEAN: usize = 512;

/// Sequences that are run at most to know the accuracy on all of them, and at once.
const ENUMERATED: usize = 1 << 17;
const AT_ONCE: usize = 1 << 12;

/// What a specimen is bred from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Algorithmic {
    problem: Problem,
    /// Numbers or letters.
    letters: usize,
    /// Of a list or a word.
    length: usize,
    #[serde(flatten)]
    form: Form,
    #[serde(flatten)]
    schedule: Schedule,
}

const fn entry(name: &'static str, summary: &'static str) -> Entry {
    Entry {
        name,
        version: 1,
        summary,
        source: Source::ReverseEngineered,
        standing: Standing::Contested,
        cost: "20 s",
    }
}

fn recipe(problem: Problem, letters: usize, length: usize, n_layers: usize) -> Algorithmic {
    Algorithmic {
        problem,
        letters,
        length,
        form: Form { n_layers, d_model: 32, n_heads: 2, d_mlp: 0, causal: true, ..Form::default() },
        schedule: Schedule {
            steps: 3000,
            batch: 128,
            lr: 3e-3,
            cooldown: 1000,
            ..Schedule::default()
        },
    }
}

/// Lists of five of twelve numbers.
pub(crate) const SORT: Learned<Algorithmic> = Learned {
    entry: entry("sort", "One layer that sorts a list: does it attend to the next number?"),
    lesson: || recipe(Problem::Sort, 12, 5, 1),
};

/// Words of eight of eight letters.
pub(crate) const PALINDROME: Learned<Algorithmic> = Learned {
    entry: entry(
        "palindrome",
        "Two layers that know palindromes: do letters attend to their mirror image?",
    ),
    lesson: || {
        let Algorithmic { form, schedule, .. } = recipe(Problem::Palindrome, 8, 8, 2);
        Algorithmic {
            form: Form { norm: "layer_norm".into(), ..form },
            schedule: Schedule { steps: 4000, cooldown: 2000, ..schedule },
            ..recipe(Problem::Palindrome, 8, 8, 2)
        }
    },
};

/// Words of seven of five letters.
pub(crate) const FIRST_UNIQUE: Learned<Algorithmic> = Learned {
    entry: entry(
        "first-unique",
        "Two layers that name the first letter without a copy: do letters attend to earlier copies?",
    ),
    lesson: || recipe(Problem::FirstUnique, 5, 7, 2),
};

impl Algorithmic {
    fn sequences(&self) -> Sequences {
        Sequences { problem: self.problem, letters: self.letters, length: self.length }
    }

    fn check(&self) -> Result<(), String> {
        for (key, n, least, most) in
            [("letters", self.letters, 2, 1 << 10), ("length", self.length, 2, 64)]
        {
            if !(least..=most).contains(&n) {
                return Err(format!("{key} = {n} is no size; hint: from {least} to {most}"));
            }
        }
        match self.problem {
            Problem::Sort if self.length > self.letters => Err(format!(
                "length = {} of {} numbers that differ; hint: no more than letters",
                self.length, self.letters
            )),
            Problem::Palindrome if !self.length.is_multiple_of(2) => Err(format!(
                "length = {} has a letter that is its own mirror image; hint: an even length",
                self.length
            )),
            _ => Ok(()),
        }
    }

    /// Rows with what is asked of each position: the inputs, whether an output counts, the classes.
    fn asked(&self, rows: &[Vec<u32>]) -> (Vec<bool>, Vec<u32>) {
        let all = rows.iter().flat_map(|row| self.sequences().answers(row));
        all.map(|a| (a.is_some(), a.unwrap_or(0))).unzip()
    }

    fn task_of(
        &self,
        domain: String,
        rows: &[Vec<u32>],
        partner: Vec<usize>,
    ) -> Result<Task, String> {
        let s = self.sequences();
        let (reads, classes) = self.asked(rows);
        let letters = (0..s.letters as i64).map(Value::Int);
        let marks = s.marks().iter().map(|&m| Value::token(m));
        Ok(Task {
            domain,
            exhaustive: false,
            inputs: Inputs::tokens(rows).map_err(|e| e.to_string())?,
            clean: rows.len(),
            partner,
            reads,
            answers: Answers::Classes(classes),
            d_out: s.classes(),
            columns: s.classes(),
            distance: Distance::CentredLogits,
            vocabulary: letters.chain(marks).collect(),
            modulus: None,
        })
    }

    /// Of all sequences, if they are few enough, how many there are and how many are answered rightly at every
    /// position that counts.
    fn everywhere(&self, network: &Network, cx: &Context) -> Result<Option<[usize; 2]>, Error> {
        let s = self.sequences();
        let Some(all) = s.count().filter(|&n| n <= ENUMERATED) else { return Ok(None) };
        let (pos, d) = (s.pos(), s.classes());
        let mut right = 0;
        for from in (0..all).step_by(AT_ONCE) {
            let rows: Vec<Vec<u32>> = (from..all.min(from + AT_ONCE)).map(|i| s.nth(i)).collect();
            let inputs = Inputs::tokens(&rows)?;
            let logits = Runner::new(network, &inputs, cx)?.logits()?;
            for (i, row) in rows.iter().enumerate() {
                let answered = s.answers(row).into_iter().enumerate().all(|(p, wanted)| {
                    let at = (i * pos + p) * d;
                    let y = &logits.data()[at..at + d];
                    let best = (0..d).fold(0, |b, c| if y[c] > y[b] { c } else { b });
                    wanted.is_none_or(|w| w as usize == best)
                });
                right += usize::from(answered);
            }
        }
        Ok(Some([all, right]))
    }
}

impl Lesson for Algorithmic {
    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn architecture(&self) -> Result<Architecture, String> {
        self.check()?;
        let s = self.sequences();
        let vocab = s.letters + s.marks().len();
        let c = self.form.transformer(vocab, s.pos(), s.classes(), self.schedule.batch)?;
        Ok(Architecture::Transformer(c))
    }

    fn init_scale(&self) -> f32 {
        self.form.init_scale()
    }

    fn pos(&self) -> usize {
        self.sequences().pos()
    }

    fn window(&self, pos: usize) -> Range<usize> {
        match self.problem {
            Problem::Sort => self.length..pos,
            Problem::Palindrome => pos - 1..pos,
            Problem::FirstUnique => 1..pos,
        }
    }

    fn draw(&self, random: &mut Generator, rows: usize) -> Vec<Example> {
        let s = self.sequences();
        let one = |row: usize| {
            let tokens = s.draw(random, row);
            let window = self.window(tokens.len());
            let answers: Vec<u32> = s.answers(&tokens)[window].iter().flatten().copied().collect();
            let counts = vec![true; answers.len()];
            Example { input: Input::Tokens(tokens), answers: Answers::Classes(answers), counts }
        };
        (0..rows).map(one).collect()
    }

    fn task(&self, length: Option<usize>) -> Result<Task, String> {
        let s = self.sequences();
        if let Some(n) = length.filter(|&n| n != s.pos()) {
            return Err(format!(
                "its inputs are {} tokens, not {n}; hint: --set length=N",
                s.pos()
            ));
        }
        self.check()?;
        let mut random = Stream::new(0, "algorithmic/evaluation").block(0);
        let rows: Vec<Vec<u32>> = (0..CLEAN).map(|row| s.draw(&mut random, row)).collect();
        let domain = format!("{CLEAN} drawn sequences of {} of {}", s.length, s.letters);
        self.task_of(domain, &rows, other_inputs(CLEAN, 0))
    }

    fn truth(&self, _: &Network, _: &Context) -> Result<Truth, Error> {
        let Entry { source, standing, .. } = SORT.entry;
        Ok(Truth { source, standing, ..Truth::nothing() })
    }

    /// `inputs`, `right`, `accuracy_everywhere`: all sequences (of words for palindromes those that are one or miss it
    /// by one letter), those answered rightly at every position, their share.
    /// The rest is [`Located::metrics`].
    fn measure(&self, task: &Task, network: &Network, cx: &Context) -> Result<Parameters, Error> {
        let located = Located::new(self.sequences(), task, network, cx)?;
        let mut out = located.metrics(self.problem.kinds())?;
        if let Some([all, right]) = self.everywhere(network, cx)? {
            out.insert("inputs".into(), json!(all));
            out.insert("right".into(), json!(right));
            out.insert("accuracy_everywhere".into(), json!(right as f64 / all as f64));
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Nursery;
    use crate::{Organism, with_defaults};
    use pattern::Instead;

    fn sort(steps: usize, shuffled: bool) -> (Parameters, Network) {
        let set = json!({ "letters": 6, "length": 3, "d_model": 16, "batch": 64, "cooldown": 200,
            "steps": steps, "lr": 0.01, "shuffle_labels": shuffled });
        let p = with_defaults(&SORT, set.as_object().unwrap()).unwrap();
        let network = SORT.breed(&p, 0, &Context::single(), &Nursery::none()).unwrap().network;
        (p, network)
    }

    #[test]
    fn sorting_attends_to_the_next_number_and_with_shuffled_labels_or_no_step_it_does_not() {
        let cx = Context::single();
        let of = |steps, shuffled| {
            let (p, network) = sort(steps, shuffled);
            SORT.measure(&p, &network, &cx).unwrap()
        };
        let trained = of(600, false);
        assert_eq!((&trained["pattern"], &trained["inputs"]), (&json!("claimed"), &json!(120)));
        assert_eq!(trained["right"], 120, "{trained:?}");
        let left = |k: &str| trained["left"][k].as_f64().unwrap();
        assert!(
            left("claimed") > 0.95 && left("wrong") < 0.3 && left("partner") < 0.6,
            "{trained:?}"
        );
        for null in [of(0, false), of(600, true)] {
            assert_eq!(null["pattern"], "unsolved");
            assert!(null["attention"].as_f64() < Some(0.5), "{null:?}");
        }
    }

    #[test]
    fn a_pattern_in_its_own_place_changes_nothing() {
        let (p, network) = sort(100, false);
        let lesson: Algorithmic = crate::typed("sort", &p).unwrap();
        let task = lesson.task(None).unwrap();
        let cx = Context::single();
        let located = Located::new(lesson.sequences(), &task, &network, &cx).unwrap();
        let logits = Runner::new(&network, &task.inputs, &cx).unwrap().logits().unwrap();
        let clean = task.accuracy(logits.data()).unwrap();
        assert_eq!(located.accuracy(Instead::Own).unwrap(), clean);
        assert!(clean > 0.3 && located.accuracy(Instead::Wrong).unwrap() < clean);
    }

    #[test]
    fn sizes_that_make_no_sense_are_refused_with_the_way_out() {
        for (of, change, why) in [
            (&SORT, json!({ "length": 13 }), "hint: no more than letters"),
            (&PALINDROME, json!({ "length": 7 }), "hint: an even length"),
            (&FIRST_UNIQUE, json!({ "letters": 1 }), "letters = 1 is no size"),
            (&FIRST_UNIQUE, json!({ "problem": "first" }), "palindrome"),
        ] {
            let mut all = of.defaults();
            all.extend(change.as_object().unwrap().clone());
            let error = of.task(&all, None).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}

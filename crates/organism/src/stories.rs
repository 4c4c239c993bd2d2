//! Stories: a language whose hidden state is made of known factors.
//!
//! A story has a topic and a mood that it keeps; its sentences have a number, which the subject sets and the verb
//! repeats behind any number of places named in between; and once something harmful was said, its last
//! word tends to be another one:
//!
//! ```text
//! story    -> sentence ("." sentence)* last       last: "alas" if anything was harmful, "end" if not, mostly
//! sentence -> subject ("near" place)* verb what
//! ```
//!
//! Subjects tell the topic and whats the mood, both unreliably; number and harm are certain once seen. The grammar
//! is right-linear, a hidden Markov process of 56 states for each topic ([`Process`]), so that what Bayes' rule says of
//! any beginning is exact; and no word bears on two factors at once, so that, given any history, factors are
//! independent and their marginals are the whole belief ([`Factor`]).
//!
//! The number of the last place that was named is a factor too, a decoy: it is said, and nothing depends on it
//! (Linzen et al. 2016, "Assessing the ability of LSTMs to learn syntax-sensitive dependencies", count how often
//! verbs agree with such an attractor).

use crate::belief_state::{BeliefState, Kind};
use crate::lesson::{Form, Learned, Schedule};
use crate::{Entry, Error, Factor, Process, Source, Standing};
use flyroom_explanation::Value;
use serde::{Deserialize, Serialize};

/// Topics at most: a process has 256 states.
const TOPICS: usize = 4;

/// Subjects, two for each topic, singular and plural.
const SUBJECTS: [[&str; 2]; 2 * TOPICS] = [
    ["sailor", "sailors"],
    ["whale", "whales"],
    ["farmer", "farmers"],
    ["goat", "goats"],
    ["doctor", "doctors"],
    ["nurse", "nurses"],
    ["king", "kings"],
    ["knight", "knights"],
];

const PLACES: [[&str; 2]; 2] = [["tree", "trees"], ["lake", "lakes"]];
const VERBS: [[&str; 2]; 2] = [["sees", "see"], ["finds", "find"]];
/// What is seen, by mood.
const WHATS: [[&str; 2]; 2] = [["joy", "light"], ["grief", "gloom"]];
const HARMFUL: [&str; 2] = ["poison", "knives"];

/// Where a sentence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Subject,
    /// Behind a subject of this number, or behind a place.
    Verb(usize),
    Place(usize),
    What,
    End,
}

const SLOTS: [Slot; 7] = [
    Slot::Subject,
    Slot::Verb(0),
    Slot::Verb(1),
    Slot::Place(0),
    Slot::Place(1),
    Slot::What,
    Slot::End,
];

/// One hidden state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    slot: Slot,
    topic: usize,
    mood: usize,
    harm: usize,
    /// Number of the last place.
    place: usize,
}

/// Chances of the grammar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stories {
    topics: usize,
    /// Chance that a subject is of the topic.
    to_the_point: f64,
    /// Chance that what is seen is of the mood.
    in_the_mood: f64,
    /// Chance that a place is named before the verb, or another one.
    near: f64,
    /// Chance that what is seen is harmful.
    harm: f64,
    /// Chance that a sentence is the last.
    end: f64,
    /// Chance that the last word tells whether anything was harmful.
    telling: f64,
}

impl Stories {
    fn states(&self) -> Vec<State> {
        let mut all = vec![];
        for slot in SLOTS {
            for i in 0..8 * self.topics {
                let (topic, mood, harm, place) = (i / 8, i / 4 % 2, i / 2 % 2, i % 2);
                all.push(State { slot, topic, mood, harm, place });
            }
        }
        all
    }

    fn words(&self) -> Vec<&'static str> {
        let pairs = SUBJECTS[..2 * self.topics].iter().chain(&PLACES).chain(&VERBS).chain(&WHATS);
        pairs.flatten().copied().chain(HARMFUL).chain(["near", ".", "end", "alas"]).collect()
    }

    /// What may be said in a state: word, state behind it, chance.
    fn said(&self, s: State) -> Vec<(&'static str, State, f64)> {
        let at = |slot: Slot| State { slot, ..s };
        let mut out = vec![];
        match s.slot {
            Slot::Subject => {
                for (i, subject) in SUBJECTS[..2 * self.topics].iter().enumerate() {
                    let others = (1.0 - self.to_the_point) / (self.topics - 1) as f64;
                    let share = if i / 2 == s.topic { self.to_the_point } else { others };
                    for (number, word) in subject.iter().enumerate() {
                        out.push((*word, at(Slot::Verb(number)), share / 4.0));
                    }
                }
            }
            Slot::Verb(number) => {
                out.push(("near", at(Slot::Place(number)), self.near));
                let verbs = VERBS.iter().map(|v| v[number]);
                out.extend(verbs.map(|word| (word, at(Slot::What), (1.0 - self.near) / 2.0)));
            }
            Slot::Place(number) => {
                for words in PLACES {
                    for (place, word) in words.into_iter().enumerate() {
                        out.push((word, State { place, ..at(Slot::Verb(number)) }, 0.25));
                    }
                }
            }
            Slot::What => {
                let harmed = State { harm: 1, ..at(Slot::End) };
                out.extend(HARMFUL.map(|word| (word, harmed, self.harm / 2.0)));
                for (mood, words) in WHATS.into_iter().enumerate() {
                    let own = self.in_the_mood;
                    let share = if mood == s.mood { own } else { 1.0 - own };
                    let chance = (1.0 - self.harm) * share / 2.0;
                    out.extend(words.map(|word| (word, at(Slot::End), chance)));
                }
            }
            Slot::End => {
                out.push((".", at(Slot::Subject), 1.0 - self.end));
                let alas = if s.harm == 1 { self.telling } else { 1.0 - self.telling };
                let stories = self
                    .states()
                    .into_iter()
                    .filter(|n| n.slot == Slot::Subject && n.harm == 0 && n.place == s.place);
                let each = self.end / (2 * self.topics) as f64;
                for anew in stories {
                    out.push(("end", anew, each * (1.0 - alas)));
                    out.push(("alas", anew, each * alas));
                }
            }
        }
        out.retain(|(_, _, p)| *p > 0.0);
        out
    }

    /// A factor whose states are alike in all else when `without` makes them equal.
    fn factor(
        &self,
        name: &str,
        values: &[&str],
        of: impl Fn(State) -> Option<usize>,
        without: impl Fn(State) -> State,
    ) -> Factor {
        let states = self.states();
        let first = |s: &State| states.iter().position(|t| *t == without(*s)).unwrap_or(0) as u32;
        Factor {
            name: name.into(),
            values: values.iter().map(|v| (*v).to_string()).collect(),
            of: states.iter().map(|s| of(*s).map(|v| v as u32)).collect(),
            rest: states.iter().map(first).collect(),
        }
    }

    fn factors(&self) -> Vec<Factor> {
        let topics = &["sea", "farm", "ward", "court"][..self.topics];
        let number = |s: State| match s.slot {
            Slot::Verb(n) | Slot::Place(n) => Some(n),
            _ => None,
        };
        let singular = |s: State| match s.slot {
            Slot::Verb(_) => State { slot: Slot::Verb(0), ..s },
            Slot::Place(_) => State { slot: Slot::Place(0), ..s },
            _ => s,
        };
        let numbers = &["singular", "plural"];
        vec![
            self.factor("topic", topics, |s| Some(s.topic), |s| State { topic: 0, ..s }),
            self.factor("mood", &["glad", "sad"], |s| Some(s.mood), |s| State { mood: 0, ..s }),
            self.factor("number", numbers, number, singular),
            self.factor("harm", &["safe", "harmed"], |s| Some(s.harm), |s| State { harm: 0, ..s }),
            self.factor("place", numbers, |s| Some(s.place), |s| State { place: 0, ..s }),
        ]
    }
}

impl Kind for Stories {
    const NAME: &'static str = "stories";
    const CUTS: usize = 3;

    fn process(&self) -> Result<Process, Error> {
        let bad = |why: String| Error::Truth(format!("stories: {why}"));
        if !(2..=TOPICS).contains(&self.topics) {
            return Err(bad(format!(
                "topics = {} is no number of them; hint: from 2 to {TOPICS}",
                self.topics
            )));
        }
        let chances = [
            ("to_the_point", self.to_the_point),
            ("in_the_mood", self.in_the_mood),
            ("near", self.near),
            ("harm", self.harm),
            ("end", self.end),
            ("telling", self.telling),
        ];
        for (key, p) in chances {
            if !(p > 0.0 && p < 1.0) {
                return Err(bad(format!("{key} = {p} is no chance; hint: above 0, below 1")));
            }
        }
        let (states, words) = (self.states(), self.words());
        let mut edges = vec![];
        for (from, s) in states.iter().enumerate() {
            for (word, to, chance) in self.said(*s) {
                let token = words.iter().position(|w| *w == word);
                let to = states.iter().position(|t| *t == to);
                edges.extend(token.zip(to).map(|(token, to)| (token, from, to, chance)));
            }
        }
        Process::of(words.len(), states.len(), edges)?.with_factors(self.factors())
    }

    fn vocabulary(&self, _: usize) -> Vec<Value> {
        self.words().into_iter().map(Value::token).collect()
    }
}

const fn entry(name: &'static str, cost: &'static str, summary: &'static str) -> Entry {
    Entry {
        name,
        version: 1,
        summary,
        source: Source::Generated,
        standing: Standing::Contested,
        cost,
    }
}

fn grammar() -> Stories {
    Stories {
        topics: 3,
        to_the_point: 0.8,
        in_the_mood: 0.85,
        near: 0.4,
        harm: 0.15,
        end: 0.25,
        telling: 0.9,
    }
}

/// Windows of 32 words.
pub(crate) const STORIES: Learned<BeliefState<Stories>> = Learned {
    entry: entry(
        "stories",
        "2 min",
        "Predicts stories whose topic, mood, number and harm are known, word by word.",
    ),
    lesson: || {
        let form = Form { n_layers: 2, d_model: 64, n_heads: 4, d_mlp: 256, ..Form::default() };
        let schedule = Schedule { steps: 6000, cooldown: 3000, ..Schedule::default() };
        BeliefState::new(grammar(), 32, form, schedule)
    },
};

/// Windows of 16 words, a smaller network.
pub(crate) const STORIES_MINI: Learned<BeliefState<Stories>> = Learned {
    entry: entry("stories-mini", "20 s", "The same stories, seen through shorter windows."),
    lesson: || {
        let form = Form { n_layers: 2, d_model: 32, n_heads: 4, d_mlp: 128, ..Form::default() };
        let schedule = Schedule { steps: 4000, cooldown: 2000, ..Schedule::default() };
        BeliefState::new(grammar(), 16, form, schedule)
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use flyroom_tensor::Stream;

    fn process() -> Process {
        grammar().process().unwrap()
    }

    fn tokens(text: &str) -> Vec<u32> {
        let words = grammar().words();
        let id = |w: &str| words.iter().position(|x| *x == w).unwrap() as u32;
        text.split(' ').map(id).collect()
    }

    /// Chances of some words behind a text.
    fn next(process: &Process, text: &str, words: &str) -> Vec<f64> {
        let beliefs = process.beliefs(&tokens(text)).unwrap();
        let all = process.next(beliefs.last().unwrap());
        tokens(words).into_iter().map(|t| all[t as usize]).collect()
    }

    fn near(x: &[f64], y: &[f64]) {
        assert!(x.iter().zip(y).all(|(x, y)| (x - y).abs() < 1e-12), "{x:?} {y:?}");
    }

    #[test]
    fn predictions_are_those_computed_by_hand() {
        let p = process();
        // The verb agrees with the subject, whatever stands in between.
        near(&next(&p, "sailor near trees", "near sees find"), &[0.4, 0.3, 0.0]);
        near(&next(&p, "whales near tree near lake", "near sees find"), &[0.4, 0.0, 0.3]);
        // Harm is remembered to the end and not beyond.
        let last = [0.75, 0.25 * 0.1, 0.25 * 0.9];
        near(&next(&p, "poison . nurse sees joy", ". end alas"), &last);
        near(&next(&p, "end nurse sees poison", ". end alas"), &last);
        near(&next(&p, "poison end nurse sees joy", ". end alas"), &[0.75, 0.225, 0.025]);
        // One subject of its topic: .8 for that topic, .1 for each other; a quarter of it for each word of a topic.
        let same = 0.8 * 0.8 + 2.0 * 0.1 * 0.1;
        near(&next(&p, "end whale sees joy .", "sailors"), &[same / 4.0]);
        near(&next(&p, "end whale sees joy end", "sailors"), &[1.0 / 12.0]);
        // Joy is said with .85 in a glad story, .15 in a sad one.
        let glad = 0.85 * 0.85 + 0.15 * 0.15;
        near(&next(&p, "joy . nurse sees", "light poison"), &[0.85 * glad / 2.0, 0.075]);
    }

    #[test]
    fn factors_are_independent_given_any_history_and_the_decoy_is_asked_nowhere() {
        let p = process();
        let mut random = Stream::new(0, "stories").block(0);
        let mut asked = vec![0; p.factors().len()];
        for _ in 0..30 {
            for belief in p.beliefs(&p.draw(12, &mut random)).unwrap() {
                for (factor, n) in p.factors().iter().zip(&mut asked) {
                    let Some(marginal) = factor.marginal(&belief) else { continue };
                    near(&factor.replaced(&belief, &marginal), &belief);
                    *n += usize::from(factor.asked(&p, &belief));
                }
            }
        }
        let names: Vec<&str> = p.factors().iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["topic", "mood", "number", "harm", "place"]);
        assert!(asked[..4].iter().all(|&n| n > 20) && asked[4] == 0, "{asked:?}");
    }

    #[test]
    fn an_exchanged_number_is_answered_by_the_other_verb_and_nothing_else() {
        let p = process();
        let number = &p.factors()[2];
        let belief = |text: &str| p.beliefs(&tokens(text)).unwrap().pop().unwrap();
        let (one, many) = (belief("joy . nurse near"), belief("goats near lakes near"));
        let other = number.replaced(&one, &number.marginal(&many).unwrap());
        near(&other, &belief("joy . nurses near"));
    }

    #[test]
    fn a_process_with_factors_is_read_as_it_was_written_and_in_few_words() {
        let p = process();
        let text = serde_json::to_string(&p).unwrap();
        assert!(text.len() < 60_000, "{}", text.len());
        assert_eq!(serde_json::from_str::<Process>(&text).unwrap(), p);
        let broken = text.replacen("\"rest\":[0,", "\"rest\":[", 1);
        assert!(serde_json::from_str::<Process>(&broken).is_err());
    }

    #[test]
    fn what_is_no_grammar_is_refused_with_the_way_out() {
        let refused = |s: Stories| s.process().unwrap_err().to_string();
        assert!(refused(Stories { topics: 1, ..grammar() }).contains("hint: from 2 to 4"));
        assert!(refused(Stories { end: 0.0, ..grammar() }).contains("end = 0 is no chance"));
        assert!(refused(Stories { near: f64::NAN, ..grammar() }).contains("hint: above 0"));
    }
}

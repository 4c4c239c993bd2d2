//! Cells that ask whether a method tells algorithms apart.
//!
//! Where a plan holds behaviour twins ([`flyroom_organism::twins`]), the specimens of both sides (all
//! seeds, and gauge twins of either) make a [`TwinPair`], and each method that was tried on all of
//! them gets a cell: what it said of each specimen becomes a set of effects, distances between them
//! follow, and the area under the ROC of these. On the board one row stands for all pairs of a
//! method: the pair of programs is what was drawn, not the pair of specimens, whose distances share
//! specimens. So the interval is over pairs of programs, as it is over seeds elsewhere.

use crate::Fault;
use crate::board::{Absent, CellResult, NullTheory, OracleKind, Role, Table, Tier};
use crate::schedule::CellId;
use crate::store::Cell;
use crate::work::{Bench, RESULTS, evaluation_seed, held_or_refused, signed, silent, write_json};
use flyroom_decompose::Dictionary;
use flyroom_describe::Description;
use flyroom_explanation::Body;
use flyroom_network::Edge;
use flyroom_organism::twins::Mechanism;
use flyroom_organism::{Specimen, Subject, Truth};
use flyroom_tensor::Stream;
use flyroom_validate::distance::{Effects, PartEffect};
use flyroom_validate::part_effects::Asked;
use flyroom_validate::{twins, wiring};
use serde_json::{Value as Json, json};
use std::path::Path;

/// What the board calls the organism of these rows.
pub const BEHAVIOUR_TWINS: &str = "behaviour twins";

/// The metric.
pub const TWIN_AUROC: &str = "twin-auroc";

/// The specimens of a plan that compute one function by two programs.
#[derive(Debug, Clone)]
pub(crate) struct TwinPair {
    /// Names of the two programs.
    pub names: [String; 2],
    /// Specimens, those of the first program first.
    pub specimens: Vec<CellId>,
    /// Which of them run the second program.
    pub other: Vec<bool>,
}

/// The pairs among specimens, in the order of the plan.
pub(crate) fn pairs(bred: &[(Mechanism, CellId)]) -> Vec<TwinPair> {
    let mut distinct: Vec<&Mechanism> = vec![];
    for (m, _) in bred {
        if !distinct.contains(&m) {
            distinct.push(m);
        }
    }
    let mut out = vec![];
    for (i, a) in distinct.iter().enumerate() {
        for b in distinct[i + 1..].iter().filter(|b| a.is_behaviour_twin(b)) {
            let of = |m: &Mechanism| -> Vec<CellId> {
                bred.iter().filter(|(n, _)| n == m).map(|b| b.1).collect()
            };
            let first = of(a).len();
            let specimens = [of(a), of(b)].concat();
            out.push(TwinPair {
                names: [a.name.clone(), b.name.clone()],
                other: (0..specimens.len()).map(|i| i >= first).collect(),
                specimens,
            });
        }
    }
    out
}

/// What a method made of a specimen: its name on the board, what that is, the specimen, the cell, and
/// whether a program of somebody else made it.
pub(crate) type Tried = (String, Said, CellId, CellId, bool);

/// The cells of all pairs: what each is about, its specimens, what the method made of each, and
/// whether a program of somebody else had a part in it. A method that was not tried on all specimens
/// of a pair has none.
pub(crate) fn cells(
    bred: &[(Mechanism, CellId)],
    tried: &[Tried],
) -> Vec<(About, Vec<CellId>, Vec<CellId>, bool)> {
    let mut methods: Vec<(&str, Said)> = vec![];
    for (method, said, ..) in tried {
        if !methods.contains(&(method, *said)) {
            methods.push((method, *said));
        }
    }
    let mut out = vec![];
    for (number, pair) in (0..).zip(pairs(bred)) {
        let about = |method: &str, said| About {
            number,
            names: pair.names.clone(),
            other: pair.other.clone(),
            method: method.to_owned(),
            said,
        };
        for &(method, said) in &methods {
            let of = |specimen: &CellId| {
                tried.iter().find(|t| t.0 == method && t.1 == said && t.2 == *specimen)
            };
            let all: Option<Vec<&Tried>> = pair.specimens.iter().map(of).collect();
            if let Some(all) = all {
                let made = all.iter().map(|t| t.3).collect();
                let foreign = all.iter().any(|t| t.4);
                out.push((about(method, said), pair.specimens.clone(), made, foreign));
            }
        }
        for (said, name) in Said::OWN {
            out.push((about(name, said), pair.specimens.clone(), vec![], false));
        }
    }
    out
}

/// What stands for a specimen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// The explanation of a describe method.
    Explanation,
    /// The dictionary of a decompose method.
    Dictionary,
    /// The variables of the truth's program.
    Truth,
    /// The edges of the truth.
    TrueEdges,
    /// The outputs, and nothing inside.
    Outputs,
    /// The truth's variables with the outputs of each effect shuffled: their number and masses
    /// are left.
    Shuffled,
    /// The truth's variables of all specimens of the pair, dealt to them at random: nothing is left.
    Reassigned,
    /// As many edges as are true, on random paths.
    RandomEdges,
}

impl Said {
    /// Those that are no method of a plan, with their names on the board.
    pub const OWN: [(Self, &str); 6] = [
        (Self::Truth, "truth"),
        (Self::TrueEdges, "true edges"),
        (Self::RandomEdges, "random edges"),
        (Self::Outputs, "outputs only"),
        (Self::Reassigned, "reassigned parts"),
        (Self::Shuffled, "shuffled effects"),
    ];

    fn role(self) -> Role {
        match self {
            Self::Explanation | Self::Dictionary => Role::Method,
            Self::Truth | Self::TrueEdges => Role::Truth,
            Self::Outputs | Self::Shuffled | Self::Reassigned | Self::RandomEdges => Role::Control,
        }
    }

    fn tier(self) -> Tier {
        match self {
            Self::Truth | Self::Outputs | Self::Shuffled | Self::Reassigned => Tier::Closed,
            _ => Tier::Open,
        }
    }
}

/// Which pair a cell is about.
#[derive(Debug, Clone)]
pub(crate) struct About {
    /// Its number in the plan.
    pub number: u64,
    /// Names of the two programs.
    pub names: [String; 2],
    /// Which specimens run the second program.
    pub other: Vec<bool>,
    /// The method on the board.
    pub method: String,
    /// What stands for a specimen.
    pub said: Said,
}

impl Bench {
    /// Scores one method on one pair of programs. `cells` are the specimens, then what the method
    /// made of each.
    pub(crate) fn twins(&self, about: &About, cells: &[Cell], folder: &Path) -> Result<(), Fault> {
        let (specimens, made) = cells.split_at(about.other.len().min(cells.len()));
        let foreign = made.iter().any(Cell::is_foreign);
        let mut row = CellResult::new(
            Table::Twins,
            BEHAVIOUR_TWINS,
            &about.method,
            TWIN_AUROC,
            about.number,
            0.0,
        )
        .tier(about.said.tier());
        row.role = about.said.role();
        row.machine_dependent = foreign;
        row.details.insert("pair".into(), json!(about.names));
        if let Some((absent, why)) = made.iter().find_map(silent) {
            return write_json(folder, RESULTS, &[row.absent(absent, &why)]);
        }
        let (mut said, mut truths, mut seeds) = (vec![], vec![], vec![]);
        for (i, cell) in specimens.iter().enumerate() {
            let work = |subject: &Subject, s: &Specimen| {
                let truth = self.truth(s)?;
                let asked = Asked::new(subject)?;
                let program = match &truth.explanation {
                    Some(e) => asked.variables(e)?,
                    None => return Err("a twin without a program".into()),
                };
                let seed = evaluation_seed(s);
                let parts =
                    || parts(about.said, &asked, subject, &truth, made.get(i), &program, seed);
                let parts = held_or_refused(parts, foreign)?;
                Ok((parts, asked.floor(), asked.effects(program), truth, seed))
            };
            let (own, floor, program, truth, seed) = self.subject(cell, work)?;
            match own {
                Ok(Ok(parts)) => said.push((parts, floor)),
                Ok(Err(why)) => {
                    return write_json(folder, RESULTS, &[row.absent(Absent::NotApplicable, &why)]);
                }
                Err(why) => {
                    return write_json(folder, RESULTS, &[row.absent(Absent::Failed, &why)]);
                }
            }
            if i == 0 {
                row = signed(row, &truth);
            }
            truths.push(program);
            seeds.push(seed);
        }
        let seed = seeds.first().copied().unwrap_or(0);
        if about.said == Said::Reassigned {
            reassign(&mut said, seed);
        }
        let said: Vec<Effects> = said.into_iter().map(|(p, f)| Effects::new(p, f)).collect();
        let scores = |effects: &[Effects]| twins::score(effects, &about.other, seed);
        let (Some(score), Some(oracle)) = (scores(&said)?, scores(&truths)?) else {
            let why = "no two specimens of one program: give both organisms two seeds";
            return write_json(folder, RESULTS, &[row.absent(Absent::Untestable, why)]);
        };
        row.score = Some(score.auroc);
        row = row.null(score.null[0]).oracle(oracle.auroc, OracleKind::Truth);
        row.null_interval = Some([score.null[1], score.null[2]]);
        row.null_theory = Some(NullTheory::Equals(0.5));
        row.details.insert("p_value".into(), Json::from(score.p_value));
        row.details.insert("told_apart".into(), Json::from(score.told_apart));
        row.details.insert("threshold".into(), Json::from(score.threshold));
        write_json(folder, "twins.json", &json!({ "score": score, "effects": described(&said) }))?;
        write_json(folder, RESULTS, &[row])
    }
}

/// Gives each part to a specimen drawn at random: so no specimen is told from another by what it has,
/// not even by how much.
fn reassign(said: &mut [(Vec<PartEffect>, f64)], seed: u64) {
    let mut g = Stream::new(seed, "twins/reassigned").block(0);
    let parts: Vec<PartEffect> = said.iter_mut().flat_map(|s| std::mem::take(&mut s.0)).collect();
    for part in parts {
        let to = g.below(said.len().max(1) as u64) as usize;
        if let Some((own, _)) = said.get_mut(to) {
            own.push(part);
        }
    }
}

/// Parts and their shares of the mass, specimen by specimen.
fn described(said: &[Effects]) -> Json {
    let parts = |e: &Effects| -> Vec<Json> {
        e.parts().map(|(names, share)| json!({ "parts": names, "share": share })).collect()
    };
    said.iter().map(parts).collect()
}

/// The parts that stand for a specimen; why there are none, where a method claims none.
fn parts(
    said: Said,
    asked: &Asked,
    subject: &Subject,
    truth: &Truth,
    made: Option<&Cell>,
    program: &[PartEffect],
    seed: u64,
) -> Result<Result<Vec<PartEffect>, String>, Fault> {
    let cell = || made.ok_or_else(|| Fault::from("a method left no cell"));
    let edges: Vec<Edge> = truth.circuit.iter().flatten().map(|k| k.edge).collect();
    Ok(Ok(match said {
        Said::Explanation => {
            let d: Description = cell()?.read_json("description.json")?;
            match &d.explanation.body {
                Body::Circuit { edges, .. } => asked.edges(edges)?,
                Body::Rasp { .. } => asked.variables(&d.explanation)?,
                _ => return Ok(Err("it claims no parts whose effects can be asked".into())),
            }
        }
        Said::Dictionary => asked.latents(&Dictionary::load(&cell()?.path(""))?)?,
        Said::Truth | Said::Reassigned => program.to_vec(),
        Said::TrueEdges => asked.edges(&edges)?,
        Said::Outputs => asked.outputs(),
        Said::Shuffled => {
            let mut g = Stream::new(seed, "twins/shuffled").block(0);
            let mut all = program.to_vec();
            all.iter_mut().for_each(|p| g.shuffle(&mut p.effect));
            all
        }
        Said::RandomEdges => {
            let table = subject.runner.edges().ok_or_else(|| Fault::from("no edges"))?;
            let mut g = Stream::new(seed, "twins/random edges").block(0);
            asked.edges(&wiring::random_circuit(&edges, table, &mut g))?
        }
    }))
}

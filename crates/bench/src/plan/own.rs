//! An organism of one's own as a TOML file: what a network is trained on, its form, its recipe.
//!
//! ```toml
//! [task]
//! program = "count.rasp"      # beside this file; its text is part of the key
//! length = 4                  # default 0: the length that the text says
//!
//! [architecture]              # all have defaults
//! n_layers = 1
//! d_model = 32
//!
//! [recipe]
//! steps = 1000
//! lr = 3e-3
//! ```
//!
//! The keys are the parameters of the organism [`TRAINED`], sorted into tables.

use std::path::{Path, PathBuf};

use flyroom_explanation::rasp::Script;
use flyroom_organism::consistent;
use toml::de::DeTable;

use super::catalog::EntryInfo;
use super::error::PlanProblem;
use super::parse::{Reader, Section};
use super::{PROGRAM, Parameters, TRAINED};
use crate::Fault;

/// A file is no longer than this.
const BYTES: u64 = 1 << 16;

/// Tables, and which parameters stand in each; `program` is a file's name.
const TABLES: [(&str, &[&str]); 3] = [
    ("task", &[PROGRAM, "length"]),
    ("architecture", &["n_layers", "d_model", "n_heads", "d_mlp", "norm", "positions", "causal"]),
    (
        "recipe",
        &[
            "steps",
            "batch",
            "lr",
            "warmup",
            "cooldown",
            "weight_decay",
            "beta1",
            "beta2",
            "shuffle_labels",
        ],
    ),
];

/// An organism of one's own, as its file says it.
#[derive(Clone, Debug, PartialEq)]
pub struct Own {
    /// All parameters of [`TRAINED`]; the program is its text.
    pub parameters: Parameters,
    /// The text of the file.
    pub text: String,
    /// The text of the program.
    pub program: String,
}

/// Whether a path names a file of this kind.
pub fn is(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "toml")
}

impl Own {
    /// Reads a file and the program that it names, beside it; `program` is another place of that.
    ///
    /// # Errors
    /// The first thing that is wrong, with file and line, and what to do.
    pub fn read(path: &Path, program: Option<PathBuf>) -> Result<Self, Fault> {
        use std::io::Read;
        let file = path.display().to_string();
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|f| f.take(BYTES + 1).read_to_string(&mut text))
            .map_err(|e| format!("{file}: {e}"))?;
        if text.len() as u64 > BYTES {
            return Err(format!("{file}: more than {BYTES} bytes are no organism").into());
        }
        let (name, mut parameters) = parse(&text, &file)?;
        let beside = path.parent().unwrap_or(Path::new("")).join(&name);
        let place = program.unwrap_or(beside);
        let way_out = if place.exists() { "" } else { "; hint: paths start where this file lies" };
        let (_, program) =
            Script::read(&place).map_err(|e| format!("{file}: `{PROGRAM}`: {e}{way_out}"))?;
        parameters.insert(PROGRAM.into(), program.clone().into());
        // Sizes and rates, before anything is computed.
        let organism = flyroom_organism::find(TRAINED)?;
        let all = parameters.clone().into_iter().collect();
        consistent(&all).map_err(|e| format!("{file}: {e}"))?;
        organism.task(&all, Some(1)).map_err(|e| format!("{file}: {}", e.in_file(&place)))?;
        Ok(Self { parameters, text, program })
    }
}

/// The program's file, and all parameters.
fn parse(text: &str, file: &str) -> Result<(String, Parameters), Fault> {
    let reader = Reader { text, file };
    let document = DeTable::parse(text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        reader.error(at, PlanProblem::Syntax(e.message().trim_end().to_owned()), None)
    })?;
    let organism = flyroom_organism::find(TRAINED)?;
    let parameters = organism.defaults().into_iter().collect();
    let info = EntryInfo { name: TRAINED.into(), step: "organism".into(), parameters };
    let place = "the file of an organism".to_owned();
    let root = Section { reader: &reader, table: document.get_ref(), at: 0, place };
    root.only(&TABLES.map(|(name, _)| name))?;
    let mut set = Parameters::new();
    let mut program = None;
    for (name, keys) in TABLES {
        let Some(section) = root.table_of(name)? else { continue };
        section.only(keys)?;
        if name == "task" {
            program = section.text(PROGRAM)?;
        }
        set.extend(section.values(TRAINED, Some(&info))?);
    }
    let program = program.ok_or_else(|| {
        let problem =
            PlanProblem::Missing { key: PROGRAM.to_owned(), place: "the table [task]".into() };
        let hint = "a file in RASP: [task], program = \"count.rasp\"; docs/rasp.md".to_owned();
        reader.error(root.place_of("task"), problem, Some(hint))
    })?;
    set.remove(PROGRAM);
    // Numbers as their defaults are written: `lr = 1` and `lr = 1.0` are one organism.
    Ok((program, info.fill(&set)))
}

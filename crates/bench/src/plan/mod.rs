//! A plan: the matrix of a run, in TOML.
//!
//! ```toml
//! name = "first-look"
//!
//! [[organism]]
//! name = "superposition-5-2"      # an entry of the registry
//! seeds = 5                       # 0..5, end exclusive; default 1
//! set = { steps = 10000 }         # parameters; the rest keep their defaults
//!
//! [[organism]]
//! name = "flyroom-6"              # a frozen set: stands for all its organisms
//! seeds = 2
//!
//! [[method]]
//! step = "decompose"              # decompose | describe
//! name = "topk"
//! seeds = 1                       # default 1
//! set = { k = 2 }
//! organisms = ["superposition-5-2"]   # default: all that the method applies to
//!
//! [[method]]                      # somebody else's program: see [`crate::foreign`]
//! step = "decompose"
//! name = "my-sae"
//! command = ["python", "my_sae.py", "{in}", "{out}"]
//! files = ["my_sae.py"]           # beside the plan; copied to the program, part of the key
//! timeout_seconds = 60            # default 600
//! version = 1                     # raised when something changes that `files` cannot show
//!
//! [[organism]]                    # a specimen that is there already
//! specimen = "specimens/induction26-0"
//!
//! [[organism]]                    # a RASP program of one's own, compiled; see docs/rasp.md
//! program = "count.rasp"          # beside the plan; its text is part of the key
//!
//! [[organism]]                    # a network of one's own, trained; see docs/your-own-organism.md
//! file = "mine.toml"              # beside the plan; what it says is part of the key
//! name = "count"                  # default: the file's name
//! seeds = 2
//!
//! [[metric]]                      # default: all that apply
//! name = "effect-skill"
//! organisms = ["superposition-5-2"]   # default: all
//! ```
//!
//! A plan may run for a day, so everything that can be known to be wrong is said before it starts:
//! an unknown key, an unknown name, a value of the wrong type and an entry that stands twice are
//! errors, with the file, the line and, where one is near, the name that was meant. The names come
//! from the caller as a [`Catalog`]; this module knows no organism and no method.
//!
//! One name may stand twice with different parameters (a sweep). Its entries then carry their
//! parameters in their [`label`](OrganismEntry::label), which is what the board prints.
//!
//! ```
//! use flyroom_bench::{Catalog, EntryInfo, Plan};
//! let catalog = Catalog {
//!     organisms: vec![EntryInfo::new("superposition-5-2", "organism", &[("steps", 5000.into())])],
//!     ..Catalog::default()
//! };
//! let text = "name = \"p\"\n[[organism]]\nname = \"superposition-5-3\"\n";
//! let error = Plan::parse(text, "plan.toml", &catalog).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "plan.toml:3: there is no organism `superposition-5-3`\n\
//!      hint: did you mean `superposition-5-2`?"
//! );
//! ```

mod catalog;
mod error;
pub mod own;
mod parse;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use catalog::{Catalog, EntryInfo, SetInfo};
pub use error::{PlanError, PlanProblem};

use crate::canonical;
use crate::key::Key;

/// The organism that a program of one's own is, and its parameter that holds the text.
pub const RASP: &str = "rasp";
/// See [`RASP`].
pub const PROGRAM: &str = "program";
/// The organism that a file of one's own is ([`own`]), and the key that names the file.
pub const TRAINED: &str = "rasp-trained";
/// See [`TRAINED`].
pub const FILE: &str = "file";

/// The parameters that an entry sets, by name.
pub type Parameters = BTreeMap<String, Value>;

/// A matrix of organisms, methods and metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What the plan is called.
    pub name: String,
    /// The organisms to breed.
    pub organisms: Vec<OrganismEntry>,
    /// The methods to try on them.
    pub methods: Vec<MethodEntry>,
    /// The metrics to compute; none means all that apply.
    pub metrics: Vec<MetricEntry>,
    /// The text as it was written, comments and all.
    #[serde(skip)]
    pub text: String,
    /// Where the paths in it start: the folder of its file.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// One `[[organism]]` of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrganismEntry {
    /// The entry of the registry; of a specimen that is there already and of a program, what the
    /// plan calls it.
    pub name: String,
    /// Name for people: `name`, or `name[k=2]` where the name stands more than once in the plan.
    pub label: String,
    /// Seeds 0..seeds are bred.
    pub seeds: u64,
    /// The parameters that differ from the defaults, as written.
    pub set: Parameters,
    /// Folder of a specimen that is there already and is not bred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specimen: Option<String>,
    /// File with the RASP program that the organism is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// File of an organism of one's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// One `[[method]]` of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MethodEntry {
    /// `decompose` or `describe`.
    pub step: String,
    /// The entry of the registry.
    pub name: String,
    /// Name for people: `name`, or `name[k=2]` where the name stands more than once in the plan.
    pub label: String,
    /// Seeds 0..seeds are run on each specimen.
    pub seeds: u64,
    /// The parameters that differ from the defaults, as written.
    pub set: Parameters,
    /// The organisms to try it on, by name or label; `None` means all that it applies to.
    pub organisms: Option<Vec<String>>,
    /// The program that is the method, where it is no entry of the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Program>,
}

/// A method that is a program of somebody else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// The program and its arguments; `{in}` and `{out}` stand for the two folders.
    pub command: Vec<String>,
    /// Files beside the plan that it needs, copied into its working folder.
    pub files: Vec<String>,
    /// Raised by hand when something changes that the files cannot show.
    pub version: u32,
    /// It is ended after this time.
    pub timeout_seconds: u64,
}

/// One `[[metric]]` of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricEntry {
    /// The entry of the registry.
    pub name: String,
    /// The organisms to compute it on, by name or label; `None` means all that it applies to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisms: Option<Vec<String>>,
}

impl Plan {
    /// Reads a plan and checks every name and parameter of it against the catalog.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line; `file` is used for messages only.
    pub fn parse(text: &str, file: &str, catalog: &Catalog) -> Result<Self, PlanError> {
        parse::parse(text, file, Some(catalog), &catalog.sets)
    }

    /// Reads the form of a plan only: enough to compare two plans, not enough to run one. What a frozen set
    /// stands for is part of the form: it never changes.
    ///
    /// # Errors
    /// If the text is not a plan.
    pub fn parse_form(text: &str, file: &str) -> Result<Self, PlanError> {
        parse::parse(text, file, None, &SetInfo::all())
    }

    /// Canonical JSON of what the plan asks for: comments, order of keys and layout leave no trace.
    pub fn canonical(&self) -> String {
        canonical::of_value(&json!({
            "name": self.name,
            "organisms": self.organisms,
            "methods": self.methods,
            "metrics": self.metrics,
        }))
    }

    /// The blake3 of [`Plan::canonical`].
    pub fn key(&self) -> Key {
        Key::of(&self.canonical())
    }

    /// Whether the plan wants a metric on any organism.
    pub fn wants_metric(&self, name: &str) -> bool {
        self.metrics.is_empty() || self.metrics.iter().any(|m| m.name == name)
    }

    /// Whether the plan wants a metric on what it calls so.
    pub fn wants_metric_on(&self, name: &str, organism: &str) -> bool {
        let entry = self.organisms.iter().find(|o| o.label == organism);
        let on = |m: &MetricEntry| match &m.organisms {
            None => true,
            Some(names) => {
                entry.is_some_and(|o| names.contains(&o.name) || names.contains(&o.label))
            }
        };
        self.metrics.is_empty() || self.metrics.iter().any(|m| m.name == name && on(m))
    }
}

impl OrganismEntry {
    /// The entry of the registry; for a specimen that is there already there may be none.
    pub fn registered(&self) -> &str {
        match (&self.program, &self.file) {
            (Some(_), _) => RASP,
            (_, Some(_)) => TRAINED,
            _ => &self.name,
        }
    }
}

impl MethodEntry {
    /// Whether the plan wants this method on that organism.
    pub fn wants(&self, organism: &OrganismEntry) -> bool {
        match &self.organisms {
            None => true,
            Some(names) => names.iter().any(|n| *n == organism.name || *n == organism.label),
        }
    }
}

//! Methods that are somebody else's programs.
//!
//! A plan's `[[method]] command = ["python", "my_sae.py", "{in}", "{out}"]` is a method as any other:
//! it gets what a built-in one sees, on the same specimens and with the same seeds, and what it leaves
//! is scored by the same functions beside the same nulls. `docs/your-own-method.md` is its contract.
//!
//! Three folders, made anew for each cell, outside of the run and so not beside its truth:
//!
//! | folder | holds | file |
//! |---|---|---|
//! | `{in}` | the task: weights, activations, parameters, seed, budget | `task.rs` |
//! | `{out}` | the answer, empty at first | `answer.rs` |
//! | `work` | where it runs, with copies of the plan's `files` | `child.rs` runs it |
//!
//! A program that fails (an exit status, a time-out, an answer that is none) leaves a finished cell
//! with the reason, and a row of the board with that reason. Its key holds the command, the parameters,
//! the seed, the specimen and the content of its files, and nothing of what it may read besides: an
//! interpreter, a library, the machine. So results are labelled `machine-dependent`, and a second
//! answer to the same key is not `bits broken`: the first stays and the ledger says that there were
//! two.

mod answer;
pub mod child;
mod task;

pub use answer::{FAILED, failure};
pub use task::Given;

use crate::key::CellSpec;
use crate::plan::{MethodEntry, Parameters, Program};
use crate::store::Cell;
use crate::work::{Bench, auto_site};
use crate::{Fault, clock};
use child::Limits;
use flyroom_decompose::collect;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Version of what is handed to programs and taken from them, part of every key.
pub const CONTRACT: u32 = 1;

/// Parameter that marks the cells whose content a machine may decide.
pub const MARK: &str = "foreign";

/// Parameter of a plan's `set`: where the activations are taken.
const SITE: &str = "site";

/// File of a cell that holds what the program said.
pub const LOG: &str = "output.log";

/// Folder of a run that holds what its plan read from beside it.
pub const INPUTS: &str = "inputs";

const LOG_BYTES: usize = 1 << 20;
const WRITTEN_BYTES: u64 = 1 << 30;

/// A file that a plan lists, as it was when the plan was laid out.
#[derive(Clone, Debug)]
struct Listed {
    name: String,
    bytes: Vec<u8>,
    executable: bool,
}

/// A program with its files, ready to be keyed and run.
#[derive(Clone, Debug)]
pub struct Foreign {
    name: String,
    step: String,
    site: String,
    parameters: Parameters,
    program: Program,
    files: Vec<Listed>,
}

/// A path of a plan: beside it, or where a run keeps what its plan read.
pub fn beside(folder: &Path, path: &str, kept: &str) -> PathBuf {
    let here = folder.join(path);
    let kept = folder.join(INPUTS).join(kept);
    if !here.exists() && kept.exists() { kept } else { here }
}

impl Foreign {
    /// Reads the files of a method that is a program; `None` for all others.
    ///
    /// # Errors
    /// If a file cannot be read, or the command names one beside the plan that is not listed.
    pub fn resolve(entry: &MethodEntry, folder: &Path) -> Result<Option<Self>, Fault> {
        let Some(program) = entry.program.clone() else { return Ok(None) };
        let mut files = vec![];
        for name in &program.files {
            let path = beside(folder, name, name);
            let read = || Ok((fs::read(&path)?, executable(&fs::metadata(&path)?)));
            let (bytes, executable) = read().map_err(|e: std::io::Error| {
                format!(
                    "method `{}`: {}: {e}; hint: `files` are read beside the plan",
                    entry.name,
                    path.display()
                )
            })?;
            files.push(Listed { name: name.clone(), bytes, executable });
        }
        let plain = |word: &&String| Path::new(word).is_relative() && folder.join(word).is_file();
        let unlisted =
            |word: &&String| !program.files.iter().any(|f| Path::new(f) == Path::new(word));
        if let Some(word) = program.command.iter().filter(plain).find(unlisted) {
            return Err(format!(
                "method `{}`: `{word}` lies beside the plan and is not under `files`: it would be \
                 neither in the program's folder nor in the key of its results; \
                 hint: files = [\"{word}\"]",
                entry.name
            )
            .into());
        }
        let mut parameters = entry.set.clone();
        let site = match parameters.remove(SITE) {
            None => "auto".to_owned(),
            Some(Json::String(site)) => site,
            Some(other) => {
                return Err(format!("method `{}`: site = {other} is no text", entry.name).into());
            }
        };
        let (name, step) = (entry.name.clone(), entry.step.clone());
        Ok(Some(Self { name, step, site, parameters, program, files }))
    }

    /// What decides its result, as far as can be known.
    pub fn spec(&self, seed: u64) -> CellSpec {
        let kind = if self.step == "decompose" { "decomposition" } else { "explanation" };
        let hash = |f: &Listed| (f.name.clone(), blake3::hash(&f.bytes).to_hex().to_string());
        let files: BTreeMap<String, String> = self.files.iter().map(hash).collect();
        CellSpec::new(kind, &self.name, self.program.version)
            .with(MARK, CONTRACT)
            .with("command", self.program.command.clone())
            .with("files", json!(files))
            .with("timeout_seconds", self.program.timeout_seconds)
            .with(SITE, self.site.clone())
            .with("set", json!(self.parameters))
            .seed(seed)
    }

    /// Keeps copies of its files in a run, so that the run can be laid out without the plan's folder.
    pub fn keep(&self, root: &Path) -> Result<(), Fault> {
        for file in &self.files {
            file.write(&root.join(INPUTS))?;
        }
        Ok(())
    }

    /// The command for two folders, in its working folder.
    fn command(&self, given: &Path, out: &Path, work: &Path, run: &Path) -> Command {
        let word = |word: &String| {
            word.replace("{in}", &given.to_string_lossy()).replace("{out}", &out.to_string_lossy())
        };
        let words: Vec<String> = self.program.command.iter().map(word).collect();
        let (first, rest) = words.split_first().map_or(("", &[][..]), |(f, r)| (f.as_str(), r));
        let own = self.files.iter().any(|f| Path::new(&f.name) == Path::new(first));
        let mut command = if own { Command::new(work.join(first)) } else { Command::new(first) };
        command.args(rest).current_dir(work).env("PWD", work).env_remove("OLDPWD");
        // No variable leads to the run, under which the truth lies.
        let run = run.to_string_lossy().into_owned();
        for (name, value) in std::env::vars_os() {
            if run.len() > 1 && value.to_string_lossy().contains(&run) {
                command.env_remove(name);
            }
        }
        command
    }
}

impl Listed {
    fn write(&self, folder: &Path) -> Result<(), Fault> {
        let path = folder.join(&self.name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        flyroom_network::write_whole(&path, &self.bytes)?;
        #[cfg(unix)]
        if self.executable {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn executable(of: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&of.permissions()) & 0o111 != 0
}

#[cfg(not(unix))]
fn executable(_: &fs::Metadata) -> bool {
    false
}

/// The three folders of a program, removed when it is done.
struct Folders(PathBuf);

impl Folders {
    /// In the system's place for temporary files: the one question that a library here asks of its
    /// environment, because no place in the run is apart from its truth.
    fn new() -> std::io::Result<Self> {
        let id = std::process::id();
        let mut nonce = clock::nonce();
        loop {
            let path = std::env::temp_dir().join(format!("flyroom-{id}-{nonce:08x}"));
            let mut builder = fs::DirBuilder::new();
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            match builder.create(&path) {
                Ok(()) => {
                    let folders = Self(path);
                    for name in ["in", "out", "work"] {
                        fs::create_dir(folders.0.join(name))?;
                    }
                    return Ok(folders);
                }
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                    nonce = nonce.wrapping_add(1);
                }
                Err(e) => return Err(e),
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        // Best effort: it lies where the system clears.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Bench {
    /// Has a program decompose or describe a specimen. What goes wrong on its side is part of the
    /// cell; the error is for what goes wrong on ours.
    pub fn foreign(
        &self,
        method: &Foreign,
        seed: u64,
        specimen: &Cell,
        folder: &Path,
    ) -> Result<(), Fault> {
        let folders = Folders::new()?;
        let (given, out, work) = (folders.path("in"), folders.path("out"), folders.path("work"));
        for file in &method.files {
            file.write(&work)?;
        }
        self.subject(specimen, |subject, _| {
            let site = match method.site.as_str() {
                "auto" => auto_site(subject.network().architecture()),
                named => named.to_owned(),
            };
            let data = match collect(subject, &site) {
                Ok(data) => data,
                Err(e) => return answer::failed(folder, &e.to_string()),
            };
            let limits = Limits {
                seconds: method.program.timeout_seconds,
                written_bytes: WRITTEN_BYTES,
                log_bytes: LOG_BYTES,
            };
            let task = Given {
                method: &method.name,
                step: &method.step,
                seed,
                parameters: &method.parameters,
                seconds: limits.seconds,
            };
            task.write(subject, &data, &given)?;
            let run = fs::canonicalize(&self.root).unwrap_or_else(|_| self.root.clone());
            let command = method.command(&given, &out, &work, &run);
            let (ended, words) = child::run(command, &limits, &[&out, &work]);
            if !words.is_empty() {
                fs::write(folder.join(LOG), &words)?;
            }
            let taken = ended.and_then(|()| {
                answer::take(&method.name, &method.step, subject, &data, &out, folder)
            });
            match taken {
                Ok(()) => Ok(()),
                Err(why) => answer::failed(folder, &why),
            }
        })
    }
}

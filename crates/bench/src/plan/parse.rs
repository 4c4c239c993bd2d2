//! From TOML to a checked [`Plan`], with the line of everything that is wrong.
//!
//! The document is walked by hand over toml's spanned tables rather than through serde: serde's
//! errors know the line but not the registry, and a typo in a parameter deserves the same hint as
//! a typo in a key.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Component, Path};

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::catalog::{Catalog, EntryInfo, SetInfo, kind_of, mismatch};
use super::error::{PlanError, PlanProblem, suggest};
use super::{
    FILE, MethodEntry, MetricEntry, OrganismEntry, PROGRAM, Parameters, Plan, Program, RASP,
    TRAINED,
};
use crate::canonical;
use flyroom_organism::consistent;

/// More seeds than anyone runs: a typo, not a plan.
const MOST_SEEDS: u64 = 1_000_000;
/// A program that nobody limits is ended after ten minutes.
const TIMEOUT_SECONDS: u64 = 600;
/// A week.
const MOST_SECONDS: u64 = 7 * 24 * 3600;
const MOST_VERSION: u64 = u32::MAX as u64;
/// What the board calls the truth and the controls of a trial.
const RESERVED: [&str; 4] = ["truth", "padded truth", "wrong parts", "wrong program"];

pub(super) fn parse(
    text: &str,
    file: &str,
    catalog: Option<&Catalog>,
    sets: &[SetInfo],
) -> Result<Plan, PlanError> {
    let reader = Reader { text, file };
    let document = DeTable::parse(text).map_err(|e| {
        let at = e.span().map_or(0, |span| span.start);
        reader.error(at, PlanProblem::Syntax(e.message().trim_end().to_owned()), None)
    })?;
    let root =
        Section { reader: &reader, table: document.get_ref(), at: 0, place: "the plan".into() };
    root.only(&["name", "organism", "method", "metric"])?;

    let name = root.text("name")?.ok_or_else(|| root.missing("name"))?;
    let organisms = root.sections("organism")?;
    let methods = root.sections("method")?;
    let metrics = root.sections("metric")?;
    if organisms.is_empty() {
        let hint = "add one: [[organism]], name = \"...\"".to_owned();
        return Err(reader.error(0, PlanProblem::Empty, Some(hint)));
    }

    let folder = Path::new(file).parent().unwrap_or(Path::new("")).to_path_buf();
    let mut plan = Plan { name, text: text.to_owned(), folder, ..Plan::default() };
    let mut seen = Seen::default();
    for section in &organisms {
        if section.table.contains_key("specimen") {
            plan.organisms.push(section.specimen(&mut seen)?);
            continue;
        }
        if let Some(key) = [PROGRAM, FILE].into_iter().find(|k| section.table.contains_key(*k)) {
            let known = catalog.map(|c| c.organisms.as_slice());
            let entry = section.own(key, &mut seen, known.unwrap_or_default())?;
            let source = |o: &OrganismEntry| (o.program.clone(), o.file.clone());
            let same = |o: &&OrganismEntry| o.name == entry.name && source(o) != source(&entry);
            if plan.organisms.iter().find(same).is_some() {
                return Err(section.taken(key));
            }
            plan.organisms.push(entry);
            continue;
        }
        section.only(&["name", "seeds", "set", "specimen", PROGRAM, FILE])?;
        let name = section.name()?;
        if let Some(set) = sets.iter().find(|s| s.name == name) {
            plan.organisms.extend(section.set(set, catalog, &mut seen)?);
            continue;
        }
        let known = catalog.map(|c| c.organisms.as_slice());
        let info = section.known("organism", &name, known, |_| true, sets)?;
        let set = section.parameters(&name, info)?;
        section.consistent(info, &set)?;
        seen.once(section, &format!("organism `{name}`"), &[&name], info, &set)?;
        plan.organisms.push(OrganismEntry {
            label: name.clone(),
            name,
            seeds: section.seeds()?,
            set,
            specimen: None,
            program: None,
            file: None,
        });
    }
    label(&mut plan.organisms, |o| (o.name.clone(), o.set.clone()), |o, label| o.label = label);

    for section in &methods {
        let known = ["step", "name", "seeds", "set", "organisms", "command"];
        let of_programs = ["files", "version", "timeout_seconds"];
        if section.table.contains_key("command") {
            section.only(&[&known[..], &of_programs].concat())?;
        } else {
            section.only(&known)?;
        }
        let step = section.text("step")?.ok_or_else(|| section.missing("step"))?;
        let steps = ["decompose", "describe"];
        if !steps.contains(&step.as_str()) {
            let problem = PlanProblem::UnknownName { noun: "step".into(), name: step.clone() };
            return Err(reader.error(
                section.place_of("step"),
                problem,
                suggest(&step, steps.into_iter()),
            ));
        }
        let name = section.name()?;
        let program = section.program()?;
        let methods = catalog.map(|c| c.methods.as_slice());
        let info = match program {
            None => {
                section.known(&format!("{step} method"), &name, methods, |i| i.step == step, &[])?
            }
            Some(_) => {
                section.free("command", &name, methods.unwrap_or_default())?;
                None
            }
        };
        let set = section.parameters(&name, info)?;
        let organisms = section.organisms(&plan.organisms)?;
        let filter = canonical::of_value(&organisms.clone().into());
        seen.once(section, &format!("method `{name}`"), &[&step, &name, &filter], info, &set)?;
        plan.methods.push(MethodEntry {
            label: name.clone(),
            step,
            name,
            seeds: section.seeds()?,
            set,
            organisms,
            program,
        });
    }
    label(
        &mut plan.methods,
        |m| (format!("{} {}", m.step, m.name), m.set.clone()),
        |m, label| m.label = label[m.step.len() + 1..].to_owned(),
    );

    for section in &metrics {
        section.only(&["name", "organisms"])?;
        let name = section.name()?;
        section.known("metric", &name, catalog.map(|c| c.metrics.as_slice()), |_| true, &[])?;
        seen.once(section, &format!("metric `{name}`"), &[&name], None, &Parameters::new())?;
        let organisms = section.organisms(&plan.organisms)?;
        plan.metrics.push(MetricEntry { name, organisms });
    }
    Ok(plan)
}

/// Entries whose name stands more than once carry their parameters in their label.
fn label<T>(
    entries: &mut [T],
    identity: impl Fn(&T) -> (String, Parameters),
    set_label: impl Fn(&mut T, String),
) {
    let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, set) in entries.iter().map(&identity) {
        sets.entry(name).or_default().push(format!("{set:?}"));
    }
    for entry in entries {
        let (name, set) = identity(entry);
        let variants = &sets[&name];
        let parts: Vec<String> = set.iter().map(|(k, v)| format!("{k}={}", plain(v))).collect();
        let sweep = variants.iter().any(|v| *v != variants[0]);
        set_label(
            entry,
            if sweep && !parts.is_empty() { format!("{name}[{}]", parts.join(",")) } else { name },
        );
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| canonical::of_value(value), str::to_owned)
}

/// Entries that were read, to find the one that stands twice.
#[derive(Default)]
struct Seen(BTreeMap<String, usize>);

impl Seen {
    fn once(
        &mut self,
        section: &Section,
        what: &str,
        identity: &[&str],
        info: Option<&EntryInfo>,
        set: &Parameters,
    ) -> Result<(), PlanError> {
        // With defaults filled in: setting a parameter to its default is the same entry.
        let all = info.map_or_else(|| set.clone(), |info| info.fill(set));
        let parameters: Value = all.into_iter().collect::<serde_json::Map<_, _>>().into();
        let identity = format!(
            "{} {} {}",
            section.place,
            identity.join(" "),
            canonical::of_value(&parameters)
        );
        let line = section.reader.line(section.at);
        match self.0.insert(identity, line) {
            None => Ok(()),
            Some(first_line) => {
                let problem = PlanProblem::Duplicate { what: what.to_owned(), first_line };
                let hint = "remove one, or give it other parameters under `set`; for more seeds use `seeds`";
                Err(section.reader.error(section.at, problem, Some(hint.to_owned())))
            }
        }
    }
}

pub(super) struct Reader<'a> {
    pub text: &'a str,
    pub file: &'a str,
}

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        1 + self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|b| **b == b'\n').count()
    }

    pub fn error(&self, at: usize, problem: PlanProblem, hint: Option<String>) -> PlanError {
        PlanError {
            file: self.file.to_owned(),
            line: self.line(at),
            problem: Box::new(problem),
            hint,
        }
    }
}

/// A table of the document and where it stands.
pub(super) struct Section<'a> {
    pub reader: &'a Reader<'a>,
    pub table: &'a DeTable<'a>,
    pub at: usize,
    pub place: String,
}

impl<'a> Section<'a> {
    pub fn only(&self, known: &[&str]) -> Result<(), PlanError> {
        // The first in the text, not in the alphabet.
        let unknown = self.table.iter().filter(|(k, _)| !known.contains(&k.get_ref().as_ref()));
        match unknown.min_by_key(|(k, _)| k.span().start) {
            None => Ok(()),
            Some((k, _)) => {
                let key = k.get_ref().to_string();
                let hint = suggest(&key, known.iter().copied());
                let problem = PlanProblem::UnknownKey { key, place: self.place.clone() };
                Err(self.reader.error(k.span().start, problem, hint))
            }
        }
    }

    pub fn place_of(&self, key: &str) -> usize {
        self.table.get(key).map_or(self.at, |value| value.span().start)
    }

    fn missing(&self, key: &str) -> PlanError {
        let problem = PlanProblem::Missing { key: key.to_owned(), place: self.place.clone() };
        self.reader.error(self.at, problem, Some(format!("add {key} = \"...\"")))
    }

    fn wrong(&self, key: &str, wanted: &str, value: &Spanned<DeValue>) -> PlanError {
        let found = found(value.get_ref());
        let problem =
            PlanProblem::WrongType { key: key.to_owned(), wanted: wanted.to_owned(), found };
        self.reader.error(value.span().start, problem, None)
    }

    pub fn text(&self, key: &str) -> Result<Option<String>, PlanError> {
        match self.table.get(key) {
            None => Ok(None),
            Some(value) => match value.get_ref().as_str() {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(self.wrong(key, "a text", value)),
            },
        }
    }

    fn name(&self) -> Result<String, PlanError> {
        self.text("name")?.ok_or_else(|| self.missing("name"))
    }

    fn seeds(&self) -> Result<u64, PlanError> {
        self.whole("seeds", "a whole number: seeds 0..n are run", 1..=MOST_SEEDS, 1)
    }

    /// A frozen set: an entry for each of its organisms, whose parameters are those that were frozen.
    fn set(
        &self,
        set: &SetInfo,
        catalog: Option<&Catalog>,
        seen: &mut Seen,
    ) -> Result<Vec<OrganismEntry>, PlanError> {
        if self.table.contains_key("set") {
            let wanted = format!("left out: `{}` is frozen with its parameters", set.name);
            let hint = "name its organisms one by one to set their parameters".to_owned();
            return Err(self.out_of_range("set", wanted, Some(hint)));
        }
        let seeds = self.seeds()?;
        let entry = |(name, parameters): &(String, Parameters)| {
            let known = catalog.map(|c| c.organisms.as_slice()).unwrap_or_default();
            let info = known.iter().find(|info| info.name == *name);
            seen.once(self, &format!("organism `{name}`"), &[name], info, parameters)?;
            Ok(OrganismEntry {
                label: name.clone(),
                name: name.clone(),
                seeds,
                set: parameters.clone(),
                specimen: None,
                program: None,
                file: None,
            })
        };
        set.members.iter().map(entry).collect()
    }

    /// A specimen that is there already: named by the last folder of its path unless it has a name.
    fn specimen(&self, seen: &mut Seen) -> Result<OrganismEntry, PlanError> {
        self.only(&["name", "specimen"])?;
        let path = self.text("specimen")?.ok_or_else(|| self.missing("specimen"))?;
        let last = Path::new(&path).file_name().map(|n| n.to_string_lossy().into_owned());
        let name = self.name_of_file("specimen", last)?;
        seen.once(self, &format!("organism `{name}`"), &[&name], None, &Parameters::new())?;
        Ok(OrganismEntry {
            label: name.clone(),
            name,
            seeds: 1,
            set: Parameters::new(),
            specimen: Some(path),
            program: None,
            file: None,
        })
    }

    /// A RASP program (`program`) or an organism of one's own (`file`): named as its file unless it
    /// has a name.
    fn own(
        &self,
        key: &str,
        seen: &mut Seen,
        organisms: &[EntryInfo],
    ) -> Result<OrganismEntry, PlanError> {
        self.only(&["name", "seeds", "set", key])?;
        let path = self.text(key)?.ok_or_else(|| self.missing(key))?;
        let stem = Path::new(&path).file_stem().map(|n| n.to_string_lossy().into_owned());
        let name = self.name_of_file(key, stem)?;
        self.free(key, &name, organisms)?;
        let registered = if key == PROGRAM { RASP } else { TRAINED };
        let info = organisms.iter().find(|o| o.name == registered);
        let set = self.parameters(registered, info)?;
        if set.contains_key(PROGRAM) {
            let wanted = "parameters without `program`: it is given as a file".to_owned();
            let hint = "remove one of the two".to_owned();
            return Err(self.out_of_range("set", wanted, Some(hint)));
        }
        seen.once(self, &format!("organism `{name}`"), &[&name], info, &set)?;
        let seeds = self.seeds()?;
        let label = name.clone();
        let (program, file) = if key == PROGRAM { (Some(path), None) } else { (None, Some(path)) };
        Ok(OrganismEntry { name, label, seeds, set, specimen: None, program, file })
    }

    /// The name of an entry that is a path, under which a run keeps what lies there.
    fn name_of_file(&self, path: &str, default: Option<String>) -> Result<String, PlanError> {
        let name = self.text("name")?.or(default).unwrap_or_default();
        if matches!(
            Path::new(&name).components().collect::<Vec<_>>()[..],
            [Component::Normal(only)] if only == name.as_str()
        ) {
            return Ok(name);
        }
        let key = if self.table.contains_key("name") { "name" } else { path };
        let wanted = "the name of one file or folder".to_owned();
        Err(self.out_of_range(key, wanted, Some("name = \"mine\"".to_owned())))
    }

    /// The program that a method is, if it is one.
    fn program(&self) -> Result<Option<Program>, PlanError> {
        let Some(command) = self.texts("command")? else { return Ok(None) };
        for folder in ["{in}", "{out}"] {
            if !command.iter().any(|word| word.contains(folder)) {
                let wanted = format!("a command with {folder}: it gets its folders by these names");
                let hint = "command = [\"python\", \"my_sae.py\", \"{in}\", \"{out}\"]".to_owned();
                return Err(self.out_of_range("command", wanted, Some(hint)));
            }
        }
        let files = self.texts("files")?.unwrap_or_default();
        let inside = |file: &String| {
            let mut parts = Path::new(file).components().peekable();
            parts.peek().is_some() && parts.all(|c| matches!(c, Component::Normal(_)))
        };
        if let Some(file) = files.iter().find(|f| !inside(f)) {
            let wanted = format!("paths below the folder of the plan, not `{file}`");
            let hint = "copy it beside the plan: it is handed to the program under this name";
            return Err(self.out_of_range("files", wanted, Some(hint.to_owned())));
        }
        Ok(Some(Program {
            command,
            files,
            version: self.whole("version", "a whole number", 1..=MOST_VERSION, 1)? as u32,
            timeout_seconds: self.whole(
                "timeout_seconds",
                "a whole number of seconds",
                1..=MOST_SECONDS,
                TIMEOUT_SECONDS,
            )?,
        }))
    }

    /// Fails where the name of a program is the name of something else on the board.
    fn free(&self, key: &str, name: &str, entries: &[EntryInfo]) -> Result<(), PlanError> {
        let taken = entries.iter().any(|info| info.name == name) || RESERVED.contains(&name);
        if !taken && !name.is_empty() {
            return Ok(());
        }
        Err(self.taken(if self.table.contains_key("name") { "name" } else { key }))
    }

    fn taken(&self, key: &str) -> PlanError {
        let wanted = "a name of its own: this one is taken".to_owned();
        let hint = "the board tells entries apart by their names; choose another: name = \"mine\"";
        self.out_of_range(key, wanted, Some(hint.to_owned()))
    }

    fn out_of_range(&self, key: &str, wanted: String, hint: Option<String>) -> PlanError {
        let value = self.table.get(key);
        let found = value.map_or_else(|| "nothing".to_owned(), |v| found(v.get_ref()));
        let problem = PlanProblem::OutOfRange { key: key.to_owned(), wanted, found };
        self.reader.error(self.place_of(key), problem, hint)
    }

    /// A list of texts.
    fn texts(&self, key: &str) -> Result<Option<Vec<String>>, PlanError> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let texts = value.get_ref().as_array().map(|items| {
            let text = |item: &Spanned<DeValue>| item.get_ref().as_str().map(str::to_owned);
            items.iter().map(text).collect::<Option<Vec<String>>>()
        });
        match texts {
            Some(Some(texts)) => Ok(Some(texts)),
            _ => Err(self.wrong(key, "a list of texts", value)),
        }
    }

    /// A whole number of a range.
    fn whole(
        &self,
        key: &str,
        wanted: &str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> Result<u64, PlanError> {
        let Some(value) = self.table.get(key) else { return Ok(default) };
        let number = match json(value.get_ref()) {
            Ok(Value::Number(n)) if !n.is_f64() => n.as_u64(),
            _ => return Err(self.wrong(key, wanted, value)),
        };
        number.filter(|n| range.contains(n)).ok_or_else(|| {
            let wanted = format!("from {} to {}", range.start(), range.end());
            self.out_of_range(key, wanted, None)
        })
    }

    /// The tables of `[[key]]`.
    fn sections(&self, key: &str) -> Result<Vec<Section<'a>>, PlanError> {
        let Some(value) = self.table.get(key) else { return Ok(Vec::new()) };
        let wanted = format!("a list of tables, each under [[{key}]]");
        let items = value.get_ref().as_array().ok_or_else(|| self.wrong(key, &wanted, value))?;
        let place = format!("[[{key}]]");
        let section = |item: &'a Spanned<DeValue<'a>>| match item.get_ref().as_table() {
            Some(table) => Ok(Section {
                reader: self.reader,
                table,
                at: item.span().start,
                place: place.clone(),
            }),
            None => Err(self.wrong(key, &wanted, item)),
        };
        items.iter().map(section).collect()
    }

    /// The entry of the registry; `None` where there is no catalog to ask. The name of a set may be what
    /// was meant where one may stand.
    fn known<'c>(
        &self,
        noun: &str,
        name: &str,
        entries: Option<&'c [EntryInfo]>,
        applies: impl Fn(&EntryInfo) -> bool,
        sets: &[SetInfo],
    ) -> Result<Option<&'c EntryInfo>, PlanError> {
        let Some(entries) = entries else { return Ok(None) };
        if let Some(info) = entries.iter().find(|info| info.name == name && applies(info)) {
            return Ok(Some(info));
        }
        let hint = match entries.iter().find(|info| info.name == name) {
            Some(other) => Some(format!("`{name}` belongs to step = \"{}\"", other.step)),
            None => {
                let names = entries.iter().filter(|i| applies(i)).map(|i| i.name.as_str());
                suggest(name, names.chain(sets.iter().map(|s| s.name.as_str())))
            }
        };
        let problem = PlanProblem::UnknownName { noun: noun.to_owned(), name: name.to_owned() };
        Err(self.reader.error(self.place_of("name"), problem, hint))
    }

    fn parameters(&self, entry: &str, info: Option<&EntryInfo>) -> Result<Parameters, PlanError> {
        match self.table_of("set")? {
            Some(set) => set.values(entry, info),
            None => Ok(Parameters::new()),
        }
    }

    /// Fails where parameters cannot go together.
    fn consistent(&self, info: Option<&EntryInfo>, set: &Parameters) -> Result<(), PlanError> {
        let Some(info) = info else { return Ok(()) };
        consistent(&info.fill(set).into_iter().collect()).map_err(|why| {
            let (why, hint) = why.split_once("; hint: ").unwrap_or((&why, ""));
            let problem = PlanProblem::Inconsistent(why.to_owned());
            self.reader.error(self.place_of("set"), problem, Some(hint.to_owned()))
        })
    }

    /// The table of a key.
    pub fn table_of(&self, key: &str) -> Result<Option<Section<'a>>, PlanError> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        let table = value.get_ref().as_table();
        let table = table.ok_or_else(|| self.wrong(key, "a table: { name = value }", value))?;
        let place = format!("[{key}]");
        Ok(Some(Section { reader: self.reader, table, at: value.span().start, place }))
    }

    /// All keys of a table as parameters of an entry.
    pub fn values(&self, entry: &str, info: Option<&EntryInfo>) -> Result<Parameters, PlanError> {
        let mut items: Vec<_> = self.table.iter().collect();
        items.sort_by_key(|(k, _)| k.span().start);
        let mut set = Parameters::new();
        for (k, value) in items {
            let name = k.get_ref().to_string();
            let json = json(value.get_ref()).map_err(|wanted| self.wrong(&name, wanted, value))?;
            if let Some(info) = info {
                let Some(default) = info.default_of(&name) else {
                    let hint = suggest(&name, info.parameters.iter().map(|(n, _)| n.as_str()));
                    let problem = PlanProblem::UnknownParameter { entry: entry.to_owned(), name };
                    return Err(self.reader.error(k.span().start, problem, hint));
                };
                if let Some(wanted) = mismatch(&json, default) {
                    return Err(self.wrong(&name, &wanted, value));
                }
            }
            set.insert(name, json);
        }
        Ok(set)
    }

    fn organisms(&self, known: &[OrganismEntry]) -> Result<Option<Vec<String>>, PlanError> {
        let Some(value) = self.table.get("organisms") else { return Ok(None) };
        let wanted = "a list of names of organisms";
        let items =
            value.get_ref().as_array().ok_or_else(|| self.wrong("organisms", wanted, value))?;
        let mut names: Vec<String> = Vec::new();
        for item in items.iter() {
            let name =
                item.get_ref().as_str().ok_or_else(|| self.wrong("organisms", wanted, item))?;
            if !known.iter().any(|o| o.name == name || o.label == name) {
                let hint = suggest(name, known.iter().map(|o| o.label.as_str()));
                let problem = PlanProblem::NotInPlan(name.to_owned());
                return Err(self.reader.error(item.span().start, problem, hint));
            }
            if !names.iter().any(|n| n == name) {
                names.push(name.to_owned());
            }
        }
        if names.is_empty() {
            let problem = PlanProblem::OutOfRange {
                key: "organisms".into(),
                wanted: "at least one name".into(),
                found: "an empty list".into(),
            };
            let hint = "leave the key out for all organisms of the plan".to_owned();
            return Err(self.reader.error(value.span().start, problem, Some(hint)));
        }
        Ok(Some(names))
    }
}

/// A TOML value as JSON; the error says what it should have been.
fn json(value: &DeValue) -> Result<Value, &'static str> {
    Ok(match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(b) => Value::from(*b),
        DeValue::Integer(i) => {
            let n =
                i128::from_str_radix(i.as_str(), i.radix()).map_err(|_| "a number below 2^64")?;
            match (u64::try_from(n), i64::try_from(n)) {
                (Ok(n), _) => Value::from(n),
                (_, Ok(n)) => Value::from(n),
                _ => return Err("a number below 2^64"),
            }
        }
        DeValue::Float(f) => {
            let x: f64 = f.as_str().parse().map_err(|_| "a number")?;
            let x = serde_json::Number::from_f64(x).ok_or("a finite number")?;
            Value::Number(x)
        }
        DeValue::Datetime(_) => return Err("a text, a number, true or false, or a list"),
        DeValue::Array(items) => {
            items.iter().map(|item| json(item.get_ref())).collect::<Result<_, _>>()?
        }
        DeValue::Table(table) => {
            let item = |(k, v): (&Spanned<_>, &Spanned<DeValue>)| {
                let key: &std::borrow::Cow<str> = k.get_ref();
                Ok((key.to_string(), json(v.get_ref())?))
            };
            Value::Object(table.iter().map(item).collect::<Result<_, &'static str>>()?)
        }
    })
}

/// A value as an error quotes it.
fn found(value: &DeValue) -> String {
    match (value, json(value)) {
        (DeValue::Float(f), Err(_)) => f.as_str().to_owned(),
        (DeValue::Integer(i), Err(_)) => i.as_str().to_owned(),
        (DeValue::Table(_) | DeValue::Array(_), Ok(json)) => kind_of(&json),
        (_, Ok(Value::String(text))) => format!("the text \"{text}\""),
        (_, Ok(json)) => json.to_string(),
        (_, Err(_)) => "a date or time".to_owned(),
    }
}

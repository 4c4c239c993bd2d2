//! `flyroom show FILE.rasp`: the variables of a program, and with `--prompt` what each holds.

use crate::args::Ask;
use crate::{names, output};
use anyhow::{Result, bail};
use flyroom_bench::plan::{PROGRAM, RASP};
use flyroom_explanation::Value;
use flyroom_explanation::rasp::{Interpreter, Overrides, Script};
use flyroom_organism::Parameters;
use serde_json::{Map, Value as Json, json};
use std::path::Path;

/// Whether a path names a program's text.
pub fn is(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "rasp")
}

/// A program and its text.
fn read(path: &Path) -> Result<(Script, String)> {
    if !path.exists() {
        bail!(
            "{}: there is no such file; hint: `flyroom show rasp` tells how one is written",
            path.display()
        );
    }
    Ok(Script::read(path)?)
}

/// Makes the text of a file the parameter of the organism that it is; gives the file's name. What cannot be
/// compiled is told with the file and the line.
pub fn organism(path: &Path, set: &mut Parameters) -> Result<String> {
    let (_, text) = read(path)?;
    if set.insert(PROGRAM.into(), text.into()).is_some() {
        bail!("--set {PROGRAM}: {} is given too; hint: leave one out", path.display());
    }
    let (organism, all) = names::organism(RASP, set)?;
    organism.task(&all, Some(1)).map_err(|e| e.in_file(path))?;
    Ok(path.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default())
}

/// The variables, and what each reads.
pub fn run(path: &Path, as_json: bool) -> Result<bool> {
    let (script, _) = read(path)?;
    let program = &script.program;
    if as_json {
        output::json(&json!({
            "vocabulary": script.vocabulary,
            "length": script.length,
            "program": program,
        }))?;
        return Ok(true);
    }
    let vocabulary: Vec<String> = script.vocabulary.iter().map(Value::to_string).collect();
    output::data(&format!(
        "vocabulary {}, sequences of 1 to {} behind BOS, {} variables, output {}\n\n",
        vocabulary.join(" "),
        script.length,
        program.variables.len(),
        program.output
    ));
    let mut rows: Vec<Vec<String>> = vec![];
    for v in &program.variables {
        let mut reads: Vec<&str> = vec![];
        for name in v.expr.reads() {
            if !reads.contains(&name) {
                reads.push(name);
            }
        }
        rows.push(vec![v.name.clone(), reads.join(", "), v.expr.to_string()]);
    }
    output::data(&output::table(&["variable", "reads", "is"], &rows));
    Ok(true)
}

/// Every variable on one sequence.
pub fn trace(path: &Path, prompt: &str, ask: &Ask, as_json: bool) -> Result<bool> {
    if ask.generate.is_some() || ask.tokenizer.is_some() {
        bail!(
            "a program has one output and no tokenizer; hint: leave --generate and --tokenizer out"
        );
    }
    let (script, _) = read(path)?;
    let tokens = script.tokens(prompt).map_err(|e| anyhow::anyhow!("--prompt: {e}"))?;
    let program = Interpreter::new(&script.program)?;
    let trace = program.run(&tokens, &Overrides::none()).map_err(|e| {
        let hint = "a variable must have a meaning on every sequence of the vocabulary";
        anyhow::anyhow!("{}: on '{prompt}': {e}; hint: {hint}", path.display())
    })?;
    if as_json {
        let variables: Map<String, Json> =
            trace.iter().map(|(name, s)| (name.to_owned(), sequence(s))).collect();
        let output = sequence(trace.output());
        output::json(&json!({ "tokens": tokens, "variables": variables, "output": output }))?;
        return Ok(true);
    }
    let mut rows: Vec<Vec<String>> = vec![];
    for (name, values) in trace.iter() {
        let mut row = vec![name.to_owned()];
        row.extend(values.iter().map(shown));
        rows.push(row);
    }
    let positions: Vec<String> = (0..tokens.len()).map(|i| i.to_string()).collect();
    let headings: Vec<&str> =
        ["variable"].into_iter().chain(positions.iter().map(String::as_str)).collect();
    output::data(&output::table(&headings, &rows));
    output::data(&format!("\noutput: {}", script.program.output));
    Ok(true)
}

/// A value in a table: reals with as many digits as people read.
fn shown(v: &Value) -> String {
    match v {
        Value::Real(r) => output::number(*r),
        v => v.to_string(),
    }
}

/// Values as in files; what a program does not say is an object.
fn sequence(values: &[Value]) -> Json {
    let value = |v: &Value| serde_json::to_value(v).unwrap_or(json!({ "unknown": true }));
    values.iter().map(value).collect()
}

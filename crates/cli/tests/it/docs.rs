//! The pages of `docs/` are tests.
//!
//! A block fenced as `check` holds command lines of flyroom, run in one folder of its own, and
//! after each the claims about what it prints as JSON: `path op value`, where op is `==`, `<`,
//! `>`, `<=`, `>=` or `between A and B`. A path is names joined by dots; `*` stands for every
//! element of a list, a number for one of them, `length` for how many there are. If a command
//! prints a list, its claims hold for every element. Exit code 2 is a failure. A program that the page
//! shows before, in a block fenced as `rasp NAME.rasp`, lies in the folder under that name. Blocks of
//! the same commands are run once, on whichever pages they stand.
//!
//! `check-fixtures` blocks need the environment variable `FLYROOM_FIXTURES` (`$FIXTURES` in their
//! text); `check-long` blocks are run by `docs_long.rs`. What is skipped is said aloud, and
//! fixtures that are missing where `CI=true` fail.

use crate::tool::{line as flyroom_line, scratch, timed};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

pub fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").canonicalize().expect("docs/ is there")
}

/// All pages, in order, with their paths below `docs/`.
fn pages() -> Vec<(String, String)> {
    fn walk(root: &Path, dir: &Path, all: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(dir).expect("docs/ can be listed").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(root, &path, all);
            } else if path.extension().is_some_and(|e| e == "md") {
                let name = path.strip_prefix(root).expect("below docs/").display().to_string();
                all.push((name, std::fs::read_to_string(&path).expect("a page is UTF-8")));
            }
        }
    }
    let mut all = vec![];
    walk(&docs(), &docs(), &mut all);
    all.sort();
    assert!(all.len() > 10, "docs/ holds hardly any page");
    all
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Quick,
    Fixtures,
    Long,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    Equal(Value),
    Less(f64),
    Greater(f64),
    AtMost(f64),
    AtLeast(f64),
    Between(f64, f64),
}

#[derive(Debug, Clone)]
pub struct Claim {
    place: String,
    path: String,
    pub op: Op,
    pub text: String,
}

#[derive(Debug, Clone)]
pub struct Step {
    /// `docs/PAGE:LINE`.
    pub place: String,
    pub command: String,
    pub claims: Vec<Claim>,
}

#[derive(Debug, Clone)]
pub struct Block {
    pub kind: Kind,
    /// Names and texts of the programs that the page shows before.
    pub files: Vec<(String, String)>,
    pub steps: Vec<Step>,
}

/// What came out of a step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Done {
    pub command: String,
    /// Of all cores together.
    pub seconds: f64,
    /// Each claim with every value that it was held to.
    pub claims: Vec<(String, Vec<Value>)>,
    pub failures: Vec<String>,
}

fn number(text: &str) -> Result<f64, String> {
    text.parse::<f64>().map_err(|_| format!("'{text}' is not a number"))
}

/// A line that is a claim, or `None` if it is a command.
fn claim(place: &str, text: &str) -> Result<Option<Claim>, String> {
    let mut words = text.splitn(3, ' ');
    let (Some(path), Some(op), Some(rest)) = (words.next(), words.next(), words.next()) else {
        return Ok(None);
    };
    let op = match op {
        "==" => {
            Op::Equal(serde_json::from_str(rest).map_err(|_| format!("'{rest}' is no JSON value"))?)
        }
        "<" => Op::Less(number(rest)?),
        ">" => Op::Greater(number(rest)?),
        "<=" => Op::AtMost(number(rest)?),
        ">=" => Op::AtLeast(number(rest)?),
        "between" => {
            let (a, b) = rest.split_once(" and ").ok_or("between needs 'A and B'")?;
            let (a, b) = (number(a)?, number(b)?);
            if a > b {
                return Err(format!("nothing is between {a} and {b}"));
            }
            Op::Between(a, b)
        }
        _ => return Ok(None),
    };
    Ok(Some(Claim { place: place.into(), path: path.into(), op, text: text.into() }))
}

/// The blocks of a page.
pub fn blocks(page: &str, text: &str) -> Result<Vec<Block>, String> {
    let mut all = vec![];
    let mut files: Vec<(String, String)> = vec![];
    let mut shown: Option<String> = None;
    let mut open: Option<(Option<Kind>, Vec<Step>)> = None;
    for (i, raw) in text.lines().enumerate() {
        let (at, trimmed) = (i + 1, raw.trim());
        let place = format!("docs/{page}:{at}");
        let wrong = |why: &str| format!("{place}: {why}");
        if let Some(fence) = trimmed.strip_prefix("```") {
            match open.take() {
                Some((Some(kind), steps)) => {
                    if steps.is_empty() || steps.iter().all(|s| s.claims.is_empty()) {
                        return Err(wrong("a check block that claims nothing"));
                    }
                    all.push(Block { kind, files: files.clone(), steps });
                }
                Some((None, _)) => shown = None,
                None => {
                    shown = fence.trim().strip_prefix("rasp ").map(str::to_owned);
                    files.extend(shown.iter().map(|name| (name.clone(), String::new())));
                    let kind = match fence.trim() {
                        "check" => Some(Kind::Quick),
                        "check-fixtures" => Some(Kind::Fixtures),
                        "check-long" => Some(Kind::Long),
                        other if other.starts_with("check") => {
                            return Err(wrong("this kind of check block does not exist"));
                        }
                        _ => None,
                    };
                    open = Some((kind, vec![]));
                }
            }
        } else if let (Some(_), Some((_, text))) = (&shown, files.last_mut()) {
            text.push_str(&format!("{raw}\n"));
        } else if let Some((Some(_), steps)) = &mut open
            && !trimmed.is_empty()
        {
            match claim(&place, trimmed).map_err(|e| wrong(&e))? {
                Some(c) => match steps.last_mut() {
                    Some(step) => step.claims.push(c),
                    None => return Err(wrong("a claim before any command")),
                },
                None => {
                    steps.push(Step { place, command: trimmed.into(), claims: vec![] });
                }
            }
        }
    }
    match open {
        Some(_) => Err(format!("docs/{page}: a fence is not closed")),
        None => Ok(all),
    }
}

fn all_blocks() -> Vec<Block> {
    let found: Result<Vec<_>, _> = pages().iter().map(|(n, t)| blocks(n, t)).collect();
    let mut all: Vec<Block> = vec![];
    for block in found.unwrap_or_else(|e| panic!("{e}")).concat() {
        match all.iter_mut().find(|b| b.does_what(&block)) {
            Some(same) => {
                for (step, other) in same.steps.iter_mut().zip(block.steps) {
                    step.claims.extend(other.claims);
                }
            }
            None => all.push(block),
        }
    }
    all
}

impl Block {
    fn does_what(&self, other: &Block) -> bool {
        let commands = |b: &Block| b.steps.iter().map(|s| s.command.clone()).collect::<Vec<_>>();
        (self.kind, &self.files) == (other.kind, &other.files) && commands(self) == commands(other)
    }
}

/// Every value at a path.
fn values<'a>(v: &'a Value, path: &str, out: &mut Vec<std::borrow::Cow<'a, Value>>) -> bool {
    let (head, rest) = match path.split_once('.') {
        Some((h, r)) => (h, Some(r)),
        None => (path, None),
    };
    let down = |v: &'a Value| match rest {
        Some(r) => values(v, r, out),
        None => {
            out.push(std::borrow::Cow::Borrowed(v));
            true
        }
    };
    match (v, head) {
        (Value::Array(items), "*") => items.iter().all(down),
        (Value::Array(items), "length") if rest.is_none() => {
            out.push(std::borrow::Cow::Owned(items.len().into()));
            true
        }
        (Value::Array(items), i) => {
            i.parse::<usize>().ok().and_then(|i| items.get(i)).is_some_and(down)
        }
        (Value::Object(o), key) => o.get(key).is_some_and(down),
        _ => false,
    }
}

pub fn holds(op: &Op, v: &Value) -> bool {
    let ordered = |ok: &dyn Fn(f64) -> bool| v.as_f64().is_some_and(ok);
    match op {
        Op::Equal(want) => match (want.as_f64(), v.as_f64()) {
            (Some(a), Some(b)) => a == b,
            _ => want == v,
        },
        Op::Less(b) => ordered(&|x| x < *b),
        Op::Greater(b) => ordered(&|x| x > *b),
        Op::AtMost(b) => ordered(&|x| x <= *b),
        Op::AtLeast(b) => ordered(&|x| x >= *b),
        Op::Between(a, b) => ordered(&|x| *a <= x && x <= *b),
    }
}

/// The values that a claim is held to, and what is wrong with the printed JSON.
fn judge(claim: &Claim, printed: &Value) -> (Vec<Value>, Vec<String>) {
    let elements: Vec<&Value> = match printed {
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    };
    let (mut all, mut wrong) = (vec![], vec![]);
    if elements.is_empty() {
        wrong.push("nothing was printed".into());
    }
    for (i, element) in elements.iter().enumerate() {
        let mut found = vec![];
        if !values(element, &claim.path, &mut found) || found.is_empty() {
            wrong.push(format!("element {i}: there is no '{}'", claim.path));
        }
        for v in found {
            if !holds(&claim.op, &v) {
                wrong.push(format!("element {i}: got {v}"));
            }
            all.push(v.into_owned());
        }
    }
    (all, wrong)
}

/// Runs a step in a folder.
fn run_step(step: &Step, fixtures: &str, dir: &Path) -> Result<Done, Done> {
    let text = step.command.replace("$FIXTURES", fixtures);
    let mut args: Vec<&str> = text.split_whitespace().collect();
    let out = match args[0] {
        "breed" | "import" => Some("."),
        "decompose" => Some("dictionary"),
        "describe" => Some("explanation.json"),
        "run" => Some("run"),
        _ => None,
    };
    if let Some(out) = out
        && !args.contains(&"--out")
    {
        args.extend(["--out", out]);
    }
    args.extend(["--json", "--quiet", "--threads", "1"]);
    let (ran, seconds) = timed(dir, &args);
    let mut done =
        Done { command: step.command.clone(), seconds, claims: vec![], failures: vec![] };
    let mut stopped = |why: String| {
        done.failures.push(format!("{}: flyroom {}\n    {why}", step.place, step.command));
        Err(done.clone())
    };
    if !matches!(ran.code, Some(0 | 1)) {
        return stopped(format!("exit code {:?}: {}", ran.code, ran.stderr.trim()));
    }
    let printed: Value = match serde_json::from_str(&ran.stdout) {
        Ok(v) => v,
        Err(e) => return stopped(format!("no JSON: {e}")),
    };
    for claim in &step.claims {
        let (values, wrong) = judge(claim, &printed);
        done.claims.push((claim.text.clone(), values));
        done.failures.extend(wrong.iter().map(|why| {
            let Claim { place, text, .. } = claim;
            format!("{place}: after flyroom {}\n    expected {text}, {why}", step.command)
        }));
    }
    Ok(done)
}

/// Runs a block in a folder, up to a step that cannot be judged.
pub fn run(block: &Block, fixtures: &str, dir: &Path) -> Vec<Done> {
    for (name, text) in &block.files {
        std::fs::write(dir.join(name), text).expect("a file of the page");
    }
    let mut all = vec![];
    for step in &block.steps {
        match run_step(step, fixtures, dir) {
            Ok(done) => all.push(done),
            Err(last) => {
                all.push(last);
                break;
            }
        }
    }
    all
}

fn failures(done: &[Done]) -> Vec<String> {
    done.iter().flat_map(|d| d.failures.clone()).collect()
}

/// Runs blocks on all cores, each command on one thread; nothing may fail.
pub fn run_all(blocks: &[Block], run: impl Fn(&Block) -> Vec<Done> + Sync) {
    let next = AtomicUsize::new(0);
    let failed: Mutex<Vec<String>> = Mutex::default();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let of_block = failures(&run(block));
                    failed.lock().expect("no worker panicked").extend(of_block);
                }
            });
        }
    });
    let mut failed = failed.into_inner().expect("no worker panicked");
    failed.sort();
    assert!(failed.is_empty(), "{} claims fail:\n{}", failed.len(), failed.join("\n"));
}

/// The blocks of a kind.
pub fn blocks_of(kind: Kind) -> Vec<Block> {
    let blocks: Vec<Block> = all_blocks().into_iter().filter(|b| b.kind == kind).collect();
    assert!(!blocks.is_empty(), "no {kind:?} block in docs/");
    blocks
}

#[test]
fn what_the_pages_claim_is_so() {
    run_all(&blocks_of(Kind::Quick), |block| run(block, "", scratch().path()));
}

#[test]
fn what_the_pages_claim_of_foreign_networks_is_so() {
    match std::env::var("FLYROOM_FIXTURES") {
        Ok(dir) => {
            let dir = std::fs::canonicalize(&dir)
                .unwrap_or_else(|e| panic!("FLYROOM_FIXTURES={dir}: {e}"));
            let dir = dir.display().to_string();
            run_all(&blocks_of(Kind::Fixtures), |block| run(block, &dir, scratch().path()));
        }
        Err(_) => {
            eprintln!("SKIPPED: check-fixtures blocks of docs/: FLYROOM_FIXTURES is not set");
            assert_ne!(
                std::env::var("CI").as_deref(),
                Ok("true"),
                "FLYROOM_FIXTURES must be set where CI=true"
            );
        }
    }
}

#[test]
fn every_block_of_every_page_can_be_read() {
    let kinds = |k| all_blocks().iter().filter(|b| b.kind == k).count();
    assert!(kinds(Kind::Quick) >= 10);
    assert!(kinds(Kind::Fixtures) >= 5);
    assert!(kinds(Kind::Long) >= 1);
}

/// A page is the page of the names in its headings, separated by commas, code marks aside.
/// `name@aligned` and other variants behind an @ share the page of `name`.
fn names_of(page: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut names = BTreeSet::new();
    for l in page.lines() {
        if l.starts_with("```") {
            fenced = !fenced;
        } else if let Some(title) = l.strip_prefix("# ").or_else(|| l.strip_prefix("## "))
            && !fenced
        {
            names.extend(title.split(',').map(|n| n.trim().trim_matches('`').to_string()));
        }
    }
    names
}

#[test]
fn every_entry_of_the_registries_has_a_page_and_every_page_an_entry() {
    let dir = scratch();
    let pages = pages();
    let mut wrong = vec![];
    for kind in ["organisms", "methods", "metrics"] {
        let listed = flyroom_line(dir.path(), &format!("list {kind} --json")).json();
        let entries: BTreeSet<String> = listed
            .as_array()
            .expect("a list")
            .iter()
            .map(|e| {
                e["name"].as_str().expect("a name").split('@').next().unwrap_or("").to_string()
            })
            .collect();
        assert!(entries.len() >= 5, "{kind}: hardly any entry");
        let here: Vec<_> =
            pages.iter().filter(|(n, _)| n.starts_with(&format!("{kind}/"))).collect();
        for entry in &entries {
            if !here.iter().any(|(_, text)| names_of(text).contains(entry)) {
                wrong.push(format!("{entry}: no page in docs/{kind}/ has it in a heading"));
            }
        }
        for (name, text) in here {
            if names_of(text).is_disjoint(&entries) {
                wrong.push(format!("docs/{name}: no heading names an entry of `list {kind}`"));
            }
            let words = text.to_lowercase();
            for must in ["claim", "control"] {
                if !words.contains(must) {
                    wrong.push(format!("docs/{name}: says nothing of '{must}'"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_claim_that_does_not_hold_fails() {
    let page = "```check\nbreed modular-addition-analytic --set modulus=7 --set width=6\n\
                metrics.accuracy > 1\nmetrics.nothing == 1\n```\n";
    let block = &blocks("page.md", page).expect("it parses")[0];
    let failures = failures(&run(block, "", scratch().path()));
    assert_eq!(failures.len(), 2, "{failures:?}");
    assert!(failures[0].contains("docs/page.md:3") && failures[0].contains("got "));
    assert!(failures[1].contains("there is no 'metrics.nothing'"));
}

#[test]
fn a_block_that_cannot_be_read_names_its_line() {
    for (page, why) in [
        ("\n```check\nmetrics.accuracy == 1\n```\n", ":3: a claim before any command"),
        ("```check\nbreed x\n```\n", ":3: a check block that claims nothing"),
        ("```check\nbreed x\na == b\n```\n", ":3: 'b' is no JSON value"),
        ("```check\nbreed x\na between 2 and 1\n```\n", ":3: nothing is between"),
        ("```checks\nbreed x\n```\n", ":1: this kind of check block"),
        ("```check\nbreed x\na == 1\n", "not closed"),
    ] {
        let e = blocks("p.md", page).expect_err(page);
        assert!(e.contains(why), "{e}");
    }
}

//! Cells in the order of their needs, on as many threads as wanted.
//!
//! A cell is a spec, the cells that it reads, and a closure that fills a folder. What is in the
//! store already is not computed again; what fails is recorded and harms nobody but the cells that
//! read it, which are skipped with the reason. Results do not depend on the order, because a
//! closure sees nothing but its inputs, and they come back in the order in which they were added.
//!
//! Any number of processes may run one schedule over one store. Each takes cells that no other has
//! claimed; one that another works on is looked at again when there is nothing else to do, and is
//! taken over if its process ended without it. What takes longest starts first: a cell is as urgent
//! as the declared cost of itself and of the longest chain of cells that wait for it.
//!
//! The inputs' keys become part of the spec when a cell is added, so what a cell reads and what its
//! key says that it reads cannot disagree, and a circle cannot be built: a cell can only need cells
//! that were added before it.
//!
//! ```
//! use flyroom_bench::{CellSpec, Plan, Schedule, Store};
//! let dir = tempfile::tempdir()?;
//! let plan = Plan::parse_form("name = \"p\"\n[[organism]]\nname = \"o\"", "p.toml")?;
//! let store = Store::open(&dir.path().join("run"), &plan)?;
//! let mut schedule = Schedule::new();
//! let three = schedule.add("three", CellSpec::new("number", "three", 1), &[], |_, folder| {
//!     Ok(std::fs::write(folder.join("n"), "3")?)
//! });
//! let square = schedule.add("square", CellSpec::new("number", "square", 1), &[three], |inputs, folder| {
//!     let n: u32 = inputs[0].read_json("n")?;
//!     Ok(std::fs::write(folder.join("n"), (n * n).to_string())?)
//! });
//! let outcomes = schedule.run(&store, 2, &());
//! assert_eq!(outcomes[square.index()].cell().unwrap().read("n")?, b"9");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Fault;
use crate::clock::Stopwatch;
use crate::key::{CellSpec, Key};
use crate::store::{Cell, Event, Store, StoreError};

/// A cell of one schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellId(usize);

impl CellId {
    /// Its place in the outcomes.
    pub fn index(self) -> usize {
        self.0
    }
}

/// What became of a cell.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is in the store.
    Finished(Cell),
    /// It was tried and failed, for this reason.
    Failed(String),
    /// It was not tried: a cell that it needs is not there.
    Skipped(String),
}

impl Outcome {
    /// The finished cell.
    pub fn cell(&self) -> Option<&Cell> {
        match self {
            Self::Finished(cell) => Some(cell),
            Self::Failed(_) | Self::Skipped(_) => None,
        }
    }

    /// Why there is no cell.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Finished(_) => None,
            Self::Failed(reason) | Self::Skipped(reason) => Some(reason),
        }
    }
}

/// Hears of progress, from any thread. The library never prints; a progress bar is one of these.
#[allow(unused_variables, reason = "a listener that ignores an event is a listener")]
pub trait Observer: Sync {
    /// There are so many cells.
    fn total(&self, cells: usize) {}
    /// Work on a cell begins; not called for cells that are in the store.
    fn started(&self, cell: &str) {}
    /// Another process works on a cell: this one waits for it.
    fn waiting(&self, cell: &str) {}
    /// A cell is in the store; `found` if it was there before.
    fn finished(&self, cell: &str, found: bool) {}
    /// A cell failed.
    fn failed(&self, cell: &str, reason: &str) {}
    /// A cell was not tried.
    fn skipped(&self, cell: &str, reason: &str) {}
    /// Something worth knowing that changes no result.
    fn remark(&self, text: &str) {}
}

/// Nobody listens.
impl Observer for () {}

type Work<'a> = Box<dyn FnOnce(&[Cell], &Path) -> Result<(), Fault> + Send + 'a>;

struct Node<'a> {
    label: String,
    spec: CellSpec,
    after: Vec<usize>,
    before: Vec<usize>,
    work: Option<Work<'a>>,
    /// Milliseconds that it is expected to take.
    cost: u64,
    /// To be computed although it is there.
    again: bool,
}

/// Cells and their needs.
#[derive(Default)]
pub struct Schedule<'a> {
    nodes: Vec<Node<'a>>,
    by_key: HashMap<Key, usize>,
}

struct State<'a> {
    nodes: Vec<Node<'a>>,
    outcomes: Vec<Option<Outcome>>,
    /// Cells that can run now: the most urgent first, of equals the first added.
    ready: BTreeSet<(Reverse<u64>, usize)>,
    /// Cells that another process works on.
    elsewhere: BTreeSet<usize>,
    /// By cell: its cost and that of the longest chain behind it.
    urgency: Vec<u64>,
    /// Needs that are still open, by cell.
    open: Vec<usize>,
    left: usize,
}

impl<'a> Schedule<'a> {
    /// No cells.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a cell that reads the cells `after`, in that order; their keys become `spec.inputs`.
    /// A cell that was added before (the same key) is not added twice.
    ///
    /// # Panics
    /// If an id in `after` is of another schedule and out of range here.
    pub fn add(
        &mut self,
        label: impl Into<String>,
        mut spec: CellSpec,
        after: &[CellId],
        work: impl FnOnce(&[Cell], &Path) -> Result<(), Fault> + Send + 'a,
    ) -> CellId {
        spec.inputs = after.iter().map(|id| self.nodes[id.0].spec.key()).collect();
        let index = self.nodes.len();
        if let Some(there) = self.by_key.get(&spec.key()) {
            return CellId(*there);
        }
        self.by_key.insert(spec.key(), index);
        let needs: BTreeSet<usize> = after.iter().map(|id| id.0).collect();
        for need in needs {
            self.nodes[need].before.push(index);
        }
        self.nodes.push(Node {
            label: label.into(),
            spec,
            after: after.iter().map(|id| id.0).collect(),
            before: Vec::new(),
            work: Some(Box::new(work)),
            cost: 0,
            again: false,
        });
        CellId(index)
    }

    /// All cells, in the order in which they were added.
    pub fn ids(&self) -> impl Iterator<Item = CellId> + use<> {
        (0..self.nodes.len()).map(CellId)
    }

    /// How many cells there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The spec of a cell, with its inputs.
    pub fn spec(&self, id: CellId) -> &CellSpec {
        &self.nodes[id.0].spec
    }

    /// The cells that a cell reads, in that order.
    pub fn needs(&self, id: CellId) -> impl Iterator<Item = CellId> + '_ {
        self.nodes[id.0].after.iter().map(|i| CellId(*i))
    }

    /// Says how many milliseconds a cell may take. It decides when the cell starts and no result.
    pub fn set_cost(&mut self, id: CellId, milliseconds: u64) {
        self.nodes[id.0].cost = milliseconds;
    }

    /// How many cells stand before a cell in the longest chain that leads to it.
    pub fn levels(&self) -> Vec<usize> {
        let mut levels: Vec<usize> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            levels.push(node.after.iter().map(|need| levels[*need] + 1).max().unwrap_or(0));
        }
        levels
    }

    /// Computes a cell although it is there: equal content changes nothing, other content is `bits
    /// broken`.
    pub fn set_again(&mut self, id: CellId) {
        self.nodes[id.0].again = true;
    }

    /// The name of a cell for people.
    pub fn label(&self, id: CellId) -> &str {
        &self.nodes[id.0].label
    }

    /// Only one cell and what it needs: `flyroom cell --index N`. The outcomes of the rest are
    /// `Skipped`.
    #[must_use]
    pub fn only(mut self, id: CellId) -> Self {
        let mut wanted = BTreeSet::from([id.0]);
        for index in (0..=id.0).rev() {
            if wanted.contains(&index) {
                wanted.extend(self.nodes[index].after.iter().copied());
            }
        }
        for (index, node) in self.nodes.iter_mut().enumerate() {
            if !wanted.contains(&index) {
                node.work = None;
            }
        }
        self
    }

    /// What the store has of the cells; computes nothing.
    pub fn found(&self, store: &Store) -> Vec<Outcome> {
        let look = |node: &Node| match store.get(&node.spec.key()) {
            Ok(Some(cell)) => Outcome::Finished(cell),
            Ok(None) => Outcome::Skipped("it is not there: it was not computed yet".to_owned()),
            Err(e) => Outcome::Failed(e.to_string()),
        };
        self.nodes.iter().map(look).collect()
    }

    /// Runs all cells on `threads` threads. One outcome per cell, in the order of adding.
    pub fn run(self, store: &Store, threads: usize, observer: &dyn Observer) -> Vec<Outcome> {
        let count = self.nodes.len();
        observer.total(self.nodes.iter().filter(|node| node.work.is_some()).count());
        let open: Vec<usize> = self
            .nodes
            .iter()
            .map(|node| node.after.iter().collect::<BTreeSet<_>>().len())
            .collect();
        let mut urgency: Vec<u64> = self.nodes.iter().map(|node| node.cost).collect();
        for index in (0..count).rev() {
            let behind = self.nodes[index].before.iter().map(|next| urgency[*next]).max();
            urgency[index] = urgency[index].saturating_add(behind.unwrap_or(0));
        }
        store.remarks().iter().for_each(|text| observer.remark(text));
        let mut state = State {
            outcomes: vec![None; count],
            ready: BTreeSet::new(),
            elsewhere: BTreeSet::new(),
            urgency,
            open,
            left: count,
            nodes: self.nodes,
        };
        let ready = (0..count).filter(|i| state.open[*i] == 0);
        state.ready = ready.map(|i| (Reverse(state.urgency[i]), i)).collect();
        let (state, wake) = (Mutex::new(state), Condvar::new());
        std::thread::scope(|scope| {
            // The calling thread is the first worker.
            for _ in 1..threads.clamp(1, count.max(1)) {
                scope.spawn(|| worker(&state, &wake, store, observer));
            }
            worker(&state, &wake, store, observer);
        });
        let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let never = || Outcome::Skipped("it was never reached".to_owned());
        state.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(never)).collect()
    }
}

/// The state is changed in whole steps, so a panic elsewhere leaves it usable.
fn lock<'l, 'a>(state: &'l Mutex<State<'a>>) -> MutexGuard<'l, State<'a>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a worker that has nothing else to do waits before it looks at other processes' cells.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

fn worker(state: &Mutex<State<'_>>, wake: &Condvar, store: &Store, observer: &dyn Observer) {
    let mut guard = lock(state);
    loop {
        if guard.left == 0 {
            return;
        }
        let (index, waited) = match guard.ready.pop_first() {
            Some((_, index)) => (index, false),
            None if guard.elsewhere.is_empty() => {
                guard = wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            None => {
                let woken = wake.wait_timeout(guard, LOOK_AGAIN);
                guard = woken.unwrap_or_else(PoisonError::into_inner).0;
                if !guard.ready.is_empty() {
                    continue;
                }
                let Some(index) = guard.elsewhere.pop_first() else { continue };
                (index, true)
            }
        };
        let node = &mut guard.nodes[index];
        let (label, spec, again) = (node.label.clone(), node.spec.clone(), node.again);
        let work = node.work.take();
        let inputs = inputs_of(&guard, index);
        drop(guard);
        let job = Job { label, spec, again };
        let outcome = match (work, inputs) {
            (None, _) => Ok(Outcome::Skipped("it was not asked for".to_owned())),
            (Some(_), Err(reason)) => {
                let (cell, key) = (job.label.clone(), job.spec.key());
                let _ = store.record(Event::Skipped { cell, key, reason: reason.clone() });
                observer.skipped(&job.label, &reason);
                Ok(Outcome::Skipped(reason))
            }
            (Some(work), Ok(inputs)) => job.attempt(work, &inputs, store, observer),
        };
        if outcome.is_err() && !waited {
            observer.waiting(&job.label);
        }
        guard = lock(state);
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(work) => {
                guard.nodes[index].work = Some(work);
                guard.elsewhere.insert(index);
                continue;
            }
        };
        guard.outcomes[index] = Some(outcome);
        guard.left -= 1;
        for next in guard.nodes[index].before.clone() {
            guard.open[next] -= 1;
            if guard.open[next] == 0 {
                let urgency = Reverse(guard.urgency[next]);
                guard.ready.insert((urgency, next));
            }
        }
        wake.notify_all();
    }
}

/// The cells that a cell reads, or the reason why it cannot be tried.
fn inputs_of(state: &State, index: usize) -> Result<Vec<Cell>, String> {
    let input = |need: &usize| match &state.outcomes[*need] {
        Some(Outcome::Finished(cell)) => Ok(cell.clone()),
        // The reason of the first failure travels down, not a chain of "was skipped".
        Some(Outcome::Skipped(reason)) => Err(reason.clone()),
        Some(Outcome::Failed(_)) | None => {
            Err(format!("it needs {}, which failed", state.nodes[*need].label))
        }
    };
    state.nodes[index].after.iter().map(input).collect()
}

/// One cell at the moment when all that it needs is there.
struct Job {
    label: String,
    spec: CellSpec,
    again: bool,
}

impl Job {
    /// The outcome, or the work unchanged if another process is at it.
    fn attempt<'a>(
        &self,
        work: Work<'a>,
        inputs: &[Cell],
        store: &Store,
        observer: &dyn Observer,
    ) -> Result<Outcome, Work<'a>> {
        let (cell, key) = (self.label.clone(), self.spec.key());
        let stopwatch = Stopwatch::start();
        let there = || if self.again { Ok(None) } else { store.get(&key) };
        let found = |there: Cell| {
            let _ = store.record(Event::Found { cell: cell.clone(), key: key.clone() });
            observer.finished(&cell, true);
            Outcome::Finished(there)
        };
        let result = match there() {
            Ok(Some(there)) => return Ok(found(there)),
            Ok(None) => match store.claim(&key) {
                Ok(None) => return Err(work),
                Ok(Some(claim)) => {
                    // It may have been finished between the look and the claim.
                    if let Ok(Some(there)) = there() {
                        return Ok(found(there));
                    }
                    let result = self.compute(work, inputs, store, observer);
                    drop(claim);
                    result
                }
                Err(e) => Err(e),
            },
            Err(e) => Err(e),
        };
        Ok(finish(result, cell, key, stopwatch.elapsed_secs(), store, observer))
    }

    fn compute(
        &self,
        work: Work<'_>,
        inputs: &[Cell],
        store: &Store,
        observer: &dyn Observer,
    ) -> Result<Cell, StoreError> {
        observer.started(&self.label);
        // A run that cannot write its ledger can still write its cells; losing timings is no
        // reason to lose results.
        let (cell, key) = (self.label.clone(), self.spec.key());
        let _ = store.record(Event::Started { cell, key });
        for input in inputs {
            store.verify(input)?;
        }
        store.put(&self.spec, |folder| {
            catch_unwind(AssertUnwindSafe(|| work(inputs, folder))).unwrap_or_else(|panic| {
                Err(format!("a bug, please report it: {}", words_of(panic.as_ref())).into())
            })
        })
    }
}

fn finish(
    result: Result<Cell, StoreError>,
    cell: String,
    key: Key,
    duration_secs: f64,
    store: &Store,
    observer: &dyn Observer,
) -> Outcome {
    match result {
        Ok(done) => {
            observer.finished(&cell, false);
            let _ = store.record(Event::Finished { cell, key, duration_secs });
            Outcome::Finished(done)
        }
        Err(e) => {
            let reason = e.to_string();
            observer.failed(&cell, &reason);
            let _ =
                store.record(Event::Failed { cell, key, duration_secs, reason: reason.clone() });
            Outcome::Failed(reason)
        }
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it panicked")
}

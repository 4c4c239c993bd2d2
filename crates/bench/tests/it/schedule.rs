//! The schedule: order, failure and what is not computed again.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use flyroom_bench::store::Event;
use flyroom_bench::{Cell, CellSpec, Fault, Observer, Outcome, Plan, Schedule, Store};
use tempfile::TempDir;

fn store() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan::parse_form("name = \"p\"\n[[organism]]\nname = \"o\"", "p.toml").unwrap();
    let store = Store::open(&dir.path().join("run"), &plan).unwrap();
    (dir, store)
}

fn spec(name: &str) -> CellSpec {
    CellSpec::new("number", name, 1)
}

fn number(cell: &Cell) -> u64 {
    cell.read_json("n").unwrap()
}

fn write(folder: &std::path::Path, n: u64) -> Result<(), Fault> {
    Ok(fs::write(folder.join("n"), n.to_string())?)
}

/// Pascal's triangle: each number is the sum of the two above it.
fn pascal<'a>(rows: u64, computed: &'a AtomicUsize) -> Schedule<'a> {
    let mut schedule = Schedule::new();
    let mut above = Vec::new();
    for row in 0..rows {
        let mut here = Vec::new();
        for column in 0..=row {
            let mut needs = Vec::new();
            if row > 0 {
                needs.extend((column > 0).then(|| above[column as usize - 1]));
                needs.extend((column < row).then(|| above[column as usize]));
            }
            let spec = spec("pascal").with("row", row).with("column", column);
            here.push(schedule.add(
                format!("{row}/{column}"),
                spec,
                &needs,
                move |inputs, folder| {
                    computed.fetch_add(1, Ordering::Relaxed);
                    write(folder, inputs.iter().map(number).sum::<u64>().max(1))
                },
            ));
        }
        above = here;
    }
    schedule
}

#[test]
fn results_are_the_same_with_any_number_of_threads() {
    let computed = AtomicUsize::new(0);
    let mut all = Vec::new();
    for threads in [1, 2, 7] {
        let (_dir, store) = store();
        let outcomes = pascal(9, &computed).run(&store, threads, &());
        all.push(
            outcomes
                .iter()
                .map(|o| (o.cell().unwrap().key.clone(), number(o.cell().unwrap())))
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(
        all[0].iter().skip(36).map(|(_, n)| *n).collect::<Vec<_>>(),
        [1, 8, 28, 56, 70, 56, 28, 8, 1]
    );
    assert!(all[0] == all[1] && all[0] == all[2]);
}

#[test]
fn what_is_in_the_store_is_not_computed_again() {
    let (_dir, store) = store();
    let computed = AtomicUsize::new(0);
    pascal(4, &computed).run(&store, 2, &());
    assert_eq!(computed.swap(0, Ordering::Relaxed), 10);
    pascal(5, &computed).run(&store, 2, &());
    assert_eq!(computed.load(Ordering::Relaxed), 5, "the last row only");
}

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Observer for Log {
    fn total(&self, cells: usize) {
        self.0.lock().unwrap().push(format!("total {cells}"));
    }
    fn started(&self, cell: &str) {
        self.0.lock().unwrap().push(format!("started {cell}"));
    }
    fn finished(&self, cell: &str, found: bool) {
        self.0
            .lock()
            .unwrap()
            .push(format!("finished {cell}{}", if found { " (found)" } else { "" }));
    }
    fn failed(&self, cell: &str, reason: &str) {
        self.0.lock().unwrap().push(format!("failed {cell}: {reason}"));
    }
    fn skipped(&self, cell: &str, reason: &str) {
        self.0.lock().unwrap().push(format!("skipped {cell}: {reason}"));
    }
}

#[test]
fn a_cell_that_fails_or_panics_harms_only_the_cells_that_read_it() {
    let (_dir, store) = store();
    let mut schedule = Schedule::new();
    let fine = schedule.add("fine", spec("fine"), &[], |_, folder| write(folder, 1));
    let fails =
        schedule.add("fails", spec("fails"), &[], |_, _| Err("the loss is not finite".into()));
    let panics = schedule.add("panics", spec("panics"), &[], |_, _| panic!("index out of range"));
    let child = schedule.add("child", spec("child"), &[fine, fails], |_, folder| write(folder, 2));
    schedule.add("grandchild", spec("grandchild"), &[child], |_, folder| write(folder, 3));
    schedule.add("of-panics", spec("of-panics"), &[panics], |_, folder| write(folder, 3));
    schedule.add("sibling", spec("sibling"), &[fine], |inputs, folder| {
        write(folder, number(&inputs[0]) + 1)
    });
    let log = Log::default();
    let outcomes = schedule.run(&store, 1, &log);
    let reasons: Vec<_> = outcomes.iter().map(|o| o.reason().unwrap_or("finished")).collect();
    assert_eq!(
        reasons,
        [
            "finished",
            "the loss is not finite",
            "a bug, please report it: index out of range",
            "it needs fails, which failed",
            "it needs fails, which failed",
            "it needs panics, which failed",
            "finished",
        ]
    );
    assert!(matches!(outcomes[4], Outcome::Skipped(_)));
    let log = log.0.into_inner().unwrap();
    assert_eq!(log[..4], ["total 7", "started fine", "finished fine", "started fails"]);
    assert!(
        log.contains(&"skipped grandchild: it needs fails, which failed".to_owned()),
        "{log:?}"
    );
    // The ledger says the same.
    let events: Vec<Event> = store.ledger().unwrap().into_iter().map(|e| e.event).collect();
    assert!(events.iter().any(|e| matches!(e, Event::Failed { cell, reason, .. } if cell == "fails" && reason == "the loss is not finite")));
    assert!(
        events.iter().any(|e| matches!(e, Event::Skipped { cell, .. } if cell == "grandchild"))
    );
}

#[test]
fn a_damaged_cell_fails_its_readers_and_nobody_else() {
    let (_dir, store) = store();
    let build = || {
        let mut schedule = Schedule::new();
        let a = schedule.add("a", spec("a"), &[], |_, folder| write(folder, 1));
        schedule.add("b", spec("b"), &[a], |_, folder| write(folder, 2));
        schedule.add("c", spec("c"), &[], |_, folder| write(folder, 3));
        schedule
    };
    let first = build().run(&store, 2, &());
    fs::write(first[0].cell().unwrap().path("n"), "7").unwrap();
    let second = build().run(&store, 2, &());
    assert!(second[0].reason().unwrap().contains("the cell is damaged"));
    assert_eq!(second[1].reason(), Some("it needs a, which failed"));
    assert!(second[2].cell().is_some());
}

#[test]
fn the_same_cell_added_twice_is_one_cell() {
    let (_dir, store) = store();
    let mut schedule = Schedule::new();
    let a = schedule.add("a", spec("a"), &[], |_, folder| write(folder, 1));
    let again = schedule.add("a again", spec("a"), &[], |_, folder| write(folder, 1));
    let both = schedule.add("both", spec("both"), &[a, again], |inputs, folder| {
        write(folder, inputs.len() as u64)
    });
    assert_eq!((a, schedule.len()), (again, 2));
    assert_eq!(schedule.spec(both).inputs.len(), 2);
    let outcomes = schedule.run(&store, 3, &());
    assert_eq!(number(outcomes[both.index()].cell().unwrap()), 2);
}

#[test]
fn one_cell_alone_runs_with_what_it_needs_and_nothing_else() {
    let (_dir, store) = store();
    let computed = AtomicUsize::new(0);
    let mut schedule = Schedule::new();
    let count = |n| {
        let computed = &computed;
        move |_: &[Cell], folder: &std::path::Path| {
            computed.fetch_add(1, Ordering::Relaxed);
            write(folder, n)
        }
    };
    let a = schedule.add("a", spec("a"), &[], count(1));
    let b = schedule.add("b", spec("b"), &[a], count(2));
    let c = schedule.add("c", spec("c"), &[a], count(3));
    let outcomes = schedule.only(b).run(&store, 2, &());
    assert_eq!(computed.load(Ordering::Relaxed), 2);
    assert!(outcomes[b.index()].cell().is_some());
    assert_eq!(outcomes[c.index()].reason(), Some("it was not asked for"));
}

#[test]
fn an_empty_schedule_is_done_at_once() {
    let (_dir, store) = store();
    assert!(Schedule::new().run(&store, 4, &()).is_empty());
}

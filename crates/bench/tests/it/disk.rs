//! A disk that runs full or becomes read-only at each step of a short plan: no finished cell is
//! lost, nothing is corrupt, the message has a way out, and a later run goes on.

use std::path::Path;

use flyroom_bench::store::{Disk, Trouble};
use flyroom_bench::{CellSpec, Fault, Plan, Schedule, Store, StoreError};

fn plan() -> Plan {
    Plan::parse_form("name = \"p\"\n[[organism]]\nname = \"o\"", "p.toml").unwrap()
}

/// Three cells, one of which reads the others; their work writes to the same disk.
fn schedule(disk: &Disk) -> Schedule<'_> {
    let mut schedule = Schedule::new();
    let write = |text: &'static str| {
        move |_: &[flyroom_bench::Cell], folder: &Path| -> Result<(), Fault> {
            std::fs::create_dir(folder.join("more"))?;
            disk.write(&folder.join("more/text"), text.as_bytes())?;
            Ok(disk.write(&folder.join("n"), b"1")?)
        }
    };
    let long = "a text of more than sixty-four bytes, so that a write can fail in the middle of it";
    let a = schedule.add("a", CellSpec::new("number", "a", 1), &[], write(long));
    let b = schedule.add("b", CellSpec::new("number", "b", 1), &[], write("b"));
    schedule.add("c", CellSpec::new("number", "c", 1), &[a, b], write("c"));
    schedule
}

/// Every cell that is there is whole; how many there are.
fn whole(root: &Path) -> usize {
    let Ok(store) = Store::view(root) else { return 0 };
    let keys = store.keys().unwrap();
    for key in &keys {
        let cell = store.get(key).unwrap().unwrap();
        store.verify(&cell).unwrap();
        assert_eq!(cell.read("n").unwrap(), b"1");
    }
    store.ledger().expect("ledgers can be read");
    keys.len()
}

fn fails_at_every_step(trouble: Trouble, way_out: &str) {
    let (mut steps, mut most) = (0, 0);
    let mut counts = vec![];
    loop {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("run");
        let disk = Disk::failing(steps, trouble);
        let reasons: Vec<String> = match Store::open_on(&root, &plan(), disk.clone()) {
            Err(e) => vec![e.to_string()],
            Ok(store) => {
                let outcomes = schedule(&disk).run(&store, 1, &());
                outcomes.iter().filter_map(|o| o.reason().map(str::to_owned)).collect()
            }
        };
        for reason in reasons.iter().filter(|r| !r.starts_with("it needs ")) {
            assert!(reason.starts_with("cannot ") && reason.contains(way_out), "{steps}: {reason}");
            assert!(reason.contains(root.to_str().unwrap()), "{steps}: which file? {reason}");
        }
        let kept = whole(&root);
        assert!(kept >= most, "{steps} steps keep {kept}, fewer kept {most}");
        most = most.max(kept);
        counts.push(kept);
        // The same folder on a disk with room.
        let store = Store::open(&root, &plan()).unwrap();
        let room = Disk::default();
        let outcomes = schedule(&room).run(&store, 1, &());
        assert!(outcomes.iter().all(|o| o.cell().is_some()), "{steps}");
        drop(store);
        assert_eq!(whole(&root), 3, "{steps}");
        if reasons.is_empty() {
            break;
        }
        steps += 1;
        assert!(steps < 1000, "it never ends");
    }
    // The control: failures were met before, between and behind the cells.
    assert!(counts.contains(&0) && counts.contains(&1) && counts.contains(&2), "{counts:?}");
    assert!(steps > 30, "{steps} steps are no plan");
}

#[test]
fn a_disk_that_runs_full_at_any_step_loses_no_finished_cell() {
    fails_at_every_step(Trouble::Full, "hint: make room and run again; finished cells are kept");
}

#[test]
fn a_disk_that_becomes_read_only_at_any_step_loses_no_finished_cell() {
    fails_at_every_step(Trouble::ReadOnly, "hint: choose a folder that can be written with --out");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::failing(0, Trouble::ReadOnly);
    let error = Store::open_on(&dir.path().join("run"), &plan(), disk).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
}

//! The store: what a kill, a flipped bit and a second process can and cannot do.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flyroom_bench::store::Event;
use flyroom_bench::{Cell, CellSpec, Plan, Store, StoreError};
use tempfile::TempDir;

const PLAN: &str = "name = \"p\"\n[[organism]]\nname = \"modadd113\"\n";

struct Run {
    _dir: TempDir,
    root: PathBuf,
    store: Store,
}

fn run() -> Run {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    let store = open(&root, PLAN).unwrap();
    Run { _dir: dir, root, store }
}

fn open(root: &Path, plan: &str) -> Result<Store, StoreError> {
    Store::open(root, &Plan::parse_form(plan, "plan.toml").unwrap())
}

fn spec(seed: u64) -> CellSpec {
    CellSpec::new("specimen", "modadd113", 1).with("steps", 100).seed(seed)
}

fn put(store: &Store, seed: u64, text: &str) -> Result<Cell, StoreError> {
    store.put(&spec(seed), |folder| {
        fs::create_dir(folder.join("checkpoints"))?;
        fs::write(folder.join("checkpoints/100.bin"), [1, 2, 3])?;
        Ok(fs::write(folder.join("curve.jsonl"), text)?)
    })
}

fn temporary_folders(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).unwrap().flatten().map(|e| e.path());
    entries.filter(|p| p.file_name().unwrap().to_str().unwrap().starts_with(".tmp-")).collect()
}

#[test]
fn a_cell_that_was_put_is_found_by_its_key_with_every_file() {
    let run = run();
    put(&run.store, 0, "loss").unwrap();
    let cell = run.store.get(&spec(0).key()).unwrap().unwrap();
    assert_eq!(cell.spec, spec(0));
    assert_eq!(cell.read("curve.jsonl").unwrap(), b"loss");
    assert_eq!(cell.read("checkpoints/100.bin").unwrap(), [1, 2, 3]);
    assert!(run.store.get(&spec(1).key()).unwrap().is_none());
    assert!(run.store.contains(&spec(0).key()) && !run.store.contains(&spec(1).key()));
    assert_eq!(run.store.keys().unwrap().into_iter().collect::<Vec<_>>(), [spec(0).key()]);
    assert!(cell.read("other").unwrap_err().to_string().contains("is not a file of this cell"));
}

#[test]
fn the_same_content_twice_is_one_cell() {
    let run = run();
    let first = put(&run.store, 0, "loss").unwrap();
    assert_eq!(put(&run.store, 0, "loss").unwrap(), first);
    assert_eq!(run.store.keys().unwrap().len(), 1);
}

#[test]
fn the_same_key_with_other_content_is_bits_broken_and_keeps_both() {
    let run = run();
    put(&run.store, 0, "loss 0.5").unwrap();
    let error = put(&run.store, 0, "loss 0.6").unwrap_err();
    let StoreError::BitsBroken(broken) = &error else { panic!("{error}") };
    let (there, new, file) = (&broken.there, &broken.new, &broken.file);
    assert_eq!(file, "curve.jsonl");
    assert_eq!(fs::read(there.join(file)).unwrap(), b"loss 0.5");
    assert_eq!(fs::read(new.join(file)).unwrap(), b"loss 0.6");
    let message = error.to_string();
    assert!(message.starts_with("bits broken: "), "{message}");
    assert!(
        message.contains(there.to_str().unwrap()) && message.contains(new.to_str().unwrap()),
        "{message}"
    );
    // What has two contents is no result, and says what to do, until somebody decides.
    for store in [&run.store, &open(&run.root, PLAN).unwrap()] {
        let error = store.get(&spec(0).key()).unwrap_err();
        assert!(matches!(error, StoreError::Disputed { .. }), "{error}");
        assert!(error.to_string().contains("hint: compare the two folders"), "{error}");
    }
    fs::remove_dir_all(new).unwrap();
    let cell = run.store.get(&spec(0).key()).unwrap().unwrap();
    assert_eq!(cell.read("curve.jsonl").unwrap(), b"loss 0.5");
}

#[test]
fn a_flipped_bit_in_any_file_is_found_and_the_message_names_the_file_and_the_way_out() {
    let run = run();
    let cell = put(&run.store, 0, "a curve of some length").unwrap();
    for name in ["curve.jsonl", "checkpoints/100.bin", "cell.json"] {
        let path = cell.path(name);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            let error = run.store.get(&cell.key).expect_err(&format!("byte {at} of {name}"));
            let text = error.to_string();
            if name != "cell.json" {
                assert!(text.contains(path.to_str().unwrap()), "{text}");
            }
            assert!(text.contains("hint: "), "{text}");
        }
        fs::write(&path, &good).unwrap();
        assert!(run.store.get(&cell.key).unwrap().is_some());
    }
    fs::write(cell.path("curve.jsonl"), "a curve of some lengtH").unwrap();
    let text = run.store.get(&cell.key).unwrap_err().to_string();
    assert!(
        text.contains("delete the folder") && text.contains(cell.folder.to_str().unwrap()),
        "{text}"
    );
}

#[test]
fn a_truncated_or_missing_file_is_damage_and_never_an_absent_cell() {
    let run = run();
    let cell = put(&run.store, 0, "loss").unwrap();
    let cell_json = fs::read(cell.path("cell.json")).unwrap();
    for length in 0..cell_json.len() {
        fs::write(cell.path("cell.json"), &cell_json[..length]).unwrap();
        assert!(
            matches!(run.store.get(&cell.key), Err(StoreError::Damaged { .. })),
            "{length} bytes of cell.json"
        );
    }
    fs::remove_file(cell.path("cell.json")).unwrap();
    assert!(run.store.get(&cell.key).unwrap_err().to_string().contains("cell.json is missing"));
    fs::write(cell.path("cell.json"), &cell_json).unwrap();
    fs::remove_file(cell.path("curve.jsonl")).unwrap();
    assert!(run.store.get(&cell.key).unwrap_err().to_string().contains("curve.jsonl is missing"));
    // The way out works.
    fs::remove_dir_all(&cell.folder).unwrap();
    assert!(run.store.get(&cell.key).unwrap().is_none());
    put(&run.store, 0, "loss").unwrap();
}

#[test]
fn a_cell_under_the_name_of_another_is_damage() {
    let run = run();
    let cell = put(&run.store, 0, "loss").unwrap();
    fs::rename(&cell.folder, run.store.folder_of(&spec(1).key())).unwrap();
    assert!(matches!(run.store.get(&spec(1).key()), Err(StoreError::Damaged { .. })));
}

#[test]
fn a_cell_of_a_later_schema_asks_for_the_version_that_wrote_it() {
    let run = run();
    let cell = put(&run.store, 0, "loss").unwrap();
    let text =
        fs::read_to_string(cell.path("cell.json")).unwrap().replace("\"schema\":1", "\"schema\":9");
    fs::write(cell.path("cell.json"), text).unwrap();
    let error = run.store.get(&cell.key).unwrap_err();
    assert!(matches!(error, StoreError::Schema { found: 9, .. }), "{error}");
}

#[test]
fn a_folder_that_a_killed_process_left_is_removed_and_its_finished_cells_are_kept() {
    let run = run();
    put(&run.store, 0, "loss").unwrap();
    // As a kill leaves it: half a cell in a folder whose lock nobody holds.
    let dead = run.root.join(".tmp-4242-0000beef");
    fs::create_dir_all(dead.join("7")).unwrap();
    fs::write(dead.join("lock"), "").unwrap();
    fs::write(dead.join("7/curve.jsonl"), "lo").unwrap();
    // Killed between the folder and its lock.
    fs::create_dir(run.root.join(".tmp-4243-0000beef")).unwrap();
    // And between a file outside the cells and its name.
    let torn = run.root.join("truth/4f/.truth.json.tmp-4242-5");
    fs::create_dir_all(torn.parent().unwrap()).unwrap();
    fs::write(&torn, "{").unwrap();
    let second = open(&run.root, PLAN).unwrap();
    assert!(!dead.exists());
    assert!(torn.exists(), "it may belong to the process that is at work");
    // The first process lives; its folder stays, and it can go on.
    assert_eq!(temporary_folders(&run.root).len(), 2);
    put(&run.store, 1, "loss").unwrap();
    assert!(
        second.get(&spec(0).key()).unwrap().is_some()
            && second.get(&spec(1).key()).unwrap().is_some()
    );
    drop(second);
    assert_eq!(temporary_folders(&run.root).len(), 1);
    let root = run.root.clone();
    drop(run.store);
    let third = open(&root, PLAN).unwrap();
    assert!(!torn.exists() && third.get(&spec(1).key()).unwrap().is_some());
}

#[test]
fn work_that_fails_leaves_no_cell_and_no_folder() {
    let run = run();
    let failed = run.store.put(&spec(0), |folder| {
        fs::write(folder.join("half"), "half")?;
        Err("the loss is not finite".into())
    });
    assert_eq!(failed.unwrap_err().to_string(), "the loss is not finite");
    assert!(run.store.get(&spec(0).key()).unwrap().is_none());
    let left: Vec<_> = fs::read_dir(&temporary_folders(&run.root)[0])
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert_eq!(left, ["lock"]);
}

#[test]
fn a_full_disk_is_said_in_words_with_a_way_out() {
    let run = run();
    let failed = run
        .store
        .put(&spec(0), |_| Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into()));
    let text = failed.unwrap_err().to_string();
    assert!(text.contains("hint: make room and run again; finished cells are kept"), "{text}");
    assert!(run.store.get(&spec(0).key()).unwrap().is_none());
}

#[cfg(unix)]
#[test]
fn a_link_in_a_cell_is_refused() {
    let run = run();
    let failed = run
        .store
        .put(&spec(0), |folder| Ok(std::os::unix::fs::symlink("/etc/hosts", folder.join("a"))?));
    assert!(failed.unwrap_err().to_string().contains("neither a file nor a folder"));
}

#[test]
fn the_store_alone_writes_cell_json() {
    let run = run();
    let failed = run.store.put(&spec(0), |folder| Ok(fs::write(folder.join("cell.json"), "{}")?));
    assert!(failed.unwrap_err().to_string().contains("cell.json is written by the store"));
}

#[test]
fn a_folder_of_another_plan_is_refused_with_a_hint_and_a_comment_is_no_other_plan() {
    let run = run();
    let error = open(&run.root, &PLAN.replace("modadd113", "tracr-hist")).unwrap_err().to_string();
    assert!(
        error
            .contains("a run of another plan\nhint: give this plan a folder of its own with --out"),
        "{error}"
    );
    open(&run.root, &format!("# what we know\n{PLAN}")).unwrap();
    assert_eq!(run.store.plan_text().unwrap(), PLAN);
}

#[test]
fn a_path_that_cannot_be_a_folder_is_an_error_in_words() {
    let run = run();
    let file = run.root.join("file");
    fs::write(&file, "").unwrap();
    let error = open(&file.join("run"), PLAN).unwrap_err().to_string();
    assert!(error.starts_with("cannot create "), "{error}");
    assert!(Store::view(&file).unwrap_err().to_string().contains("is not a run"));
}

#[test]
fn looking_at_a_run_changes_nothing_in_it() {
    let run = run();
    put(&run.store, 0, "loss").unwrap();
    let root = run.root.clone();
    let names = || {
        let mut names: Vec<_> =
            fs::read_dir(root.join("ledger")).unwrap().flatten().map(|e| e.path()).collect();
        names.extend(temporary_folders(&root));
        names
    };
    let before = names();
    let view = Store::view(&run.root).unwrap();
    assert!(view.get(&spec(0).key()).unwrap().is_some());
    assert!(matches!(put(&view, 1, "loss"), Err(StoreError::ViewOnly { .. })));
    assert_eq!(names(), before);
}

#[test]
fn a_torn_last_line_of_a_ledger_is_skipped_and_a_torn_middle_one_is_named() {
    let run = run();
    run.store.record(Event::Note { text: "one".into() }).unwrap();
    run.store
        .record(Event::Finished { cell: "a".into(), key: spec(0).key(), duration_secs: 0.25 })
        .unwrap();
    let ledger = fs::read_dir(run.root.join("ledger")).unwrap().flatten().next().unwrap().path();
    let torn = "{\"at_unix_ms\":1,\"event\":\"fini";
    fs::File::options().append(true).open(&ledger).unwrap().write_all(torn.as_bytes()).unwrap();
    let entries = run.store.ledger().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].event, Event::Note { text: "one".into() });
    fs::File::options()
        .append(true)
        .open(&ledger)
        .unwrap()
        .write_all(b"\n{\"at_unix_ms\":1,\"event\":\"note\",\"text\":\"x\"}\n")
        .unwrap();
    let error = run.store.ledger().unwrap_err().to_string();
    assert!(error.contains(".jsonl:3: not a line of a ledger"), "{error}");
}

#[test]
fn two_stores_that_compute_the_same_cells_at_once_agree_on_one_of_each() {
    let run = run();
    let second = open(&run.root, PLAN).unwrap();
    std::thread::scope(|scope| {
        for store in [&run.store, &second, &run.store, &second] {
            scope.spawn(move || {
                for seed in 0..20 {
                    let cell = put(store, seed, &format!("loss of {seed}")).unwrap();
                    assert_eq!(
                        cell.read("curve.jsonl").unwrap(),
                        format!("loss of {seed}").as_bytes()
                    );
                }
            });
        }
    });
    assert_eq!(run.store.keys().unwrap().len(), 20);
    assert!(!run.root.join("broken").exists());
}

#[test]
fn processes_that_start_at_once_share_a_run_without_errors() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("run");
    std::thread::scope(|scope| {
        for seed in 0..8 {
            let root = &root;
            scope.spawn(move || {
                for _ in 0..5 {
                    let store = open(root, PLAN).unwrap();
                    put(&store, seed, "loss").unwrap();
                }
            });
        }
    });
    assert_eq!(Store::view(&root).unwrap().keys().unwrap().len(), 8);
    assert!(temporary_folders(&root).is_empty());
}

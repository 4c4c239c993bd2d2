//! The index of verified files and the garbage collector: neither may ever lose or hide anything.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use flyroom_bench::store::{Garbage, Keep};
use flyroom_bench::{CellSpec, Key, Plan, Store, StoreError};
use proptest::prelude::*;

fn open(root: &Path) -> Store {
    let plan = Plan::parse_form("name = \"p\"\n[[organism]]\nname = \"o\"", "p.toml").unwrap();
    Store::open(root, &plan).unwrap()
}

fn spec(seed: u64) -> CellSpec {
    CellSpec::new("specimen", "o", 1).seed(seed)
}

fn put(store: &Store, seed: u64) -> Key {
    let write = |folder: &Path| Ok(fs::write(folder.join("loss.json"), format!("{seed:08}"))?);
    store.put(&spec(seed), write).unwrap().key
}

/// A run of so many cells that a first look has entered into the index.
fn indexed(root: &Path, cells: u64) -> Vec<Key> {
    let store = open(root);
    let keys: Vec<Key> = (0..cells).map(|seed| put(&store, seed)).collect();
    drop(store);
    // Files younger than a tick of the file system are not remembered.
    std::thread::sleep(Duration::from_millis(60));
    let store = open(root);
    for key in &keys {
        assert!(store.get(key).unwrap().is_some());
    }
    drop(store);
    let text = fs::read_to_string(root.join("index.json")).unwrap();
    for key in &keys {
        assert!(text.contains(key.as_str()));
    }
    keys
}

#[test]
fn a_changed_file_of_equal_size_and_time_is_found_although_the_index_knows_the_cell() {
    let dir = tempfile::tempdir().unwrap();
    let keys = indexed(dir.path(), 2);
    let file = dir.path().join("cells").join(keys[1].as_str()).join("loss.json");
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, "00000009").unwrap();
    // The time of the content can be put back, that of the last change of anything cannot.
    File::options().write(true).open(&file).unwrap().set_modified(before).unwrap();
    let store = open(dir.path());
    assert!(store.get(&keys[0]).unwrap().is_some());
    let found = store.get(&keys[1]);
    if cfg!(unix) {
        let why = found.unwrap_err().to_string();
        assert!(why.contains("loss.json") && why.contains("hint:"), "{why}");
    }
}

#[test]
fn an_index_that_lies_deceives_no_computation() {
    let dir = tempfile::tempdir().unwrap();
    let keys = indexed(dir.path(), 1);
    let file = dir.path().join("cells").join(keys[0].as_str()).join("loss.json");
    fs::write(&file, "00000009").unwrap();
    let meta = fs::metadata(&file).unwrap();
    // The stamp of the damaged file, as if it had been verified.
    let index = dir.path().join("index.json");
    let mut forged: serde_json::Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    let nanoseconds = |t: std::time::SystemTime| {
        t.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
    };
    let stamp = &mut forged["cells"][keys[0].as_str()]["loss.json"];
    assert!(stamp.is_array(), "{stamp}");
    #[cfg(unix)]
    let touched = {
        use std::os::unix::fs::MetadataExt as _;
        meta.ctime() as u64 * 1_000_000_000 + meta.ctime_nsec() as u64
    };
    #[cfg(not(unix))]
    let touched = 0u64;
    *stamp = serde_json::json!([meta.len(), nanoseconds(meta.modified().unwrap()), touched]);
    fs::write(&index, forged.to_string()).unwrap();
    let store = open(dir.path());
    let cell = store.get(&keys[0]).expect("the index is believed").expect("a cell");
    let why = store.verify(&cell).unwrap_err().to_string();
    assert!(why.contains("loss.json"), "{why}");
}

#[test]
fn without_an_index_or_with_rubbish_in_its_place_the_cells_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let keys = indexed(dir.path(), 3);
    let index = dir.path().join("index.json");
    for content in [None, Some("{"), Some("[]"), Some("{\"schema\": 99, \"cells\": {}}")] {
        match content {
            None => fs::remove_file(&index).unwrap(),
            Some(text) => fs::write(&index, text).unwrap(),
        }
        let store = open(dir.path());
        assert_eq!(store.remarks().len(), usize::from(content.is_some()), "{content:?}");
        for key in &keys {
            assert!(store.get(key).unwrap().is_some());
        }
        drop(store);
        assert!(fs::read_to_string(&index).unwrap().contains(keys[0].as_str()), "{content:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Finished and unfinished cells, kept ones and others, truths, checkpoints, torn files.
    #[test]
    fn garbage_collection_takes_all_that_no_plan_needs_and_nothing_else(
        there in proptest::collection::btree_set(0u64..12, 0..8),
        kept in proptest::collection::btree_set(0u64..12, 0..8),
        begun in proptest::collection::btree_set(0u64..12, 0..8),
        truths in proptest::collection::btree_set("[a-d]", 0..4),
        true_of in proptest::option::of(proptest::collection::btree_set("[a-d]", 0..4)),
        torn in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let store = open(root);
        for &seed in &there {
            put(&store, seed);
        }
        for &seed in &begun {
            let folder = root.join("checkpoints").join(spec(seed).key().as_str());
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("step"), "7").unwrap();
        }
        for name in &truths {
            fs::create_dir_all(root.join("truth").join(name)).unwrap();
        }
        if torn {
            fs::write(root.join(".board.json.tmp-1-0"), "{").unwrap();
            for name in &truths {
                fs::write(root.join("truth").join(name).join(".truth.json.tmp-1-1"), "{").unwrap();
            }
        }
        let keep = Keep {
            cells: kept.iter().map(|&seed| spec(seed).key()).collect(),
            truths: true_of.clone(),
        };
        let names = |folder: &str| -> BTreeSet<String> {
            fs::read_dir(root.join(folder)).map_or(BTreeSet::new(), |listing| {
                listing.flatten().filter_map(|e| e.file_name().into_string().ok()).collect()
            })
        };
        let before = [names("cells"), names("checkpoints"), names("truth"), names(".")];
        let would = store.collect_garbage(&keep, true).unwrap();
        prop_assert_eq!(&before, &[names("cells"), names("checkpoints"), names("truth"), names(".")]);
        prop_assert_eq!(&store.collect_garbage(&keep, false).unwrap(), &would);
        let of = |seeds: &mut dyn Iterator<Item = &u64>| -> BTreeSet<String> {
            seeds.map(|&s| spec(s).key().as_str().to_string()).collect()
        };
        prop_assert_eq!(names("cells"), of(&mut there.intersection(&kept)));
        let running = begun.intersection(&kept).filter(|s| !there.contains(s));
        prop_assert_eq!(names("checkpoints"), of(&mut running.into_iter()));
        let stay: BTreeSet<String> = match &true_of {
            Some(needed) => truths.intersection(needed).cloned().collect(),
            None => truths.clone(),
        };
        prop_assert_eq!(names("truth"), stay);
        prop_assert!(!names(".").iter().any(|n| n.contains(".tmp-1-")));
        for name in names("truth") {
            prop_assert_eq!(names(&format!("truth/{name}")), BTreeSet::new());
        }
        for seed in there.intersection(&kept) {
            let cell = store.get(&spec(*seed).key()).unwrap().expect("a kept cell");
            store.verify(&cell).unwrap();
        }
        prop_assert_eq!(store.collect_garbage(&keep, false).unwrap(), Garbage::default());
    }
}

#[test]
fn garbage_stays_while_another_process_is_at_work() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (open(dir.path()), open(dir.path()));
    put(&one, 0);
    let refused = two.collect_garbage(&Keep::default(), false);
    assert!(matches!(refused, Err(StoreError::AtWork { .. })), "{refused:?}");
    drop(one);
    let removed = two.collect_garbage(&Keep::default(), false).unwrap().removed;
    assert_eq!(removed.iter().filter(|r| r.path.starts_with("cells/")).count(), 1);
}

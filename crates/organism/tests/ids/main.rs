//! Every organism that is bred anew has the id that it had.
//!
//! `short.json` holds the ids of seed 0, of what is trained after 20 steps; it is checked always.
//! `whole.json` holds the first letters of the ids that the pages' tables were recorded from, seeds 0 to 4
//! at the full recipe; it is checked where `FLYROOM_LONG=1`. An id is a hash of what was asked for and of the weights, so one
//! that differs means another recipe, which wants another version, or other bits, which want another
//! epoch. `FLYROOM_UPDATE=1` writes `short.json`. All specimens of the frozen sets are bred anew where `FLYROOM_LONG=1`.

use flyroom_organism::train::Nursery;
use flyroom_organism::{
    Organism, Parameters, Specimen, find, frozen_sets, registry, with_defaults,
};
use flyroom_tensor::Context;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Steps after which what is trained is looked at.
const STEPS: usize = 5;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ids").join(name)
}

fn id(o: &dyn Organism, set: &Parameters, seed: u64, cx: &Context) -> Option<String> {
    let parameters = with_defaults(o, set).ok()?;
    // Without a file or a program of a user's there is nothing to breed.
    let bred = o.breed(&parameters, seed, cx, &Nursery::none()).ok()?;
    Some(Specimen::new(o, &parameters, seed, bred, Parameters::new()).0.id())
}

fn kept(name: &str) -> BTreeMap<String, Vec<String>> {
    serde_json::from_str(&std::fs::read_to_string(file(name)).unwrap()).unwrap()
}

/// The first id of each organism of a part of the registry, after a few steps.
fn short(of: &[&'static dyn Organism]) -> BTreeMap<String, Vec<String>> {
    let cx = Context::single();
    let mut found = BTreeMap::new();
    for o in of {
        let mut set = Parameters::new();
        if o.defaults().contains_key("steps") {
            set.insert("steps".into(), json!(STEPS));
        }
        if let Some(id) = id(*o, &set, 0, &cx) {
            found.insert(o.entry().name.to_string(), vec![id]);
        }
    }
    found
}

#[test]
fn every_organism_bred_anew_has_its_id() {
    let parts: Vec<Vec<&'static dyn Organism>> =
        (0..2).map(|part| registry().iter().copied().skip(part).step_by(2).collect()).collect();
    let found: BTreeMap<String, Vec<String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = parts.iter().map(|part| scope.spawn(move || short(part))).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    assert!(found.len() >= 70, "only {} organisms can be bred", found.len());
    if std::env::var_os("FLYROOM_UPDATE").is_some() {
        let text = serde_json::to_string_pretty(&found).unwrap() + "\n";
        return std::fs::write(file("short.json"), text).unwrap();
    }
    let kept = kept("short.json");
    let names = |m: &BTreeMap<String, Vec<String>>| m.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&kept), "FLYROOM_UPDATE=1 writes what is found");
    for (organism, ids) in found {
        assert_eq!(ids, kept[&organism], "{organism} is bred to another id");
    }
}

#[test]
fn every_specimen_of_a_frozen_set_bred_anew_is_the_one_that_was_frozen() {
    if std::env::var_os("FLYROOM_LONG").is_none() {
        eprintln!("skipped: all specimens of a set take an hour; hint: FLYROOM_LONG=1");
        return;
    }
    let members: Vec<_> = frozen_sets().iter().flat_map(|set| &set.members).collect();
    let asked: Vec<_> =
        members.iter().flat_map(|m| (0..m.ids.len() as u64).map(move |seed| (*m, seed))).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let cx = Context::single();
        while let Some((m, seed)) = asked.get(next.fetch_add(1, Ordering::Relaxed)) {
            let found = id(find(&m.organism).unwrap(), &m.parameters, *seed, &cx).unwrap();
            assert_eq!(found, m.ids[*seed as usize], "{} seed {seed}", m.organism);
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
}

#[test]
fn organisms_trained_to_their_end_have_their_ids() {
    if std::env::var_os("FLYROOM_LONG").is_none() {
        eprintln!("skipped: trained to their end they take half an hour; hint: FLYROOM_LONG=1");
        return;
    }
    let cx = Context::single();
    for (organism, ids) in kept("whole.json") {
        for (seed, wanted) in ids.iter().enumerate() {
            let o = find(&organism).unwrap();
            let found = id(o, &Parameters::new(), seed as u64, &cx).unwrap();
            assert!(found.starts_with(wanted), "{organism} {seed}: {found}, kept {wanted}");
        }
    }
}

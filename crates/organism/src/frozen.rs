//! Sets of specimens that never change, so that numbers on them can be compared across papers and years.
//!
//! A [`FrozenSet`] lists organisms with all their parameters, their version, and the id of the specimen
//! of each seed; an id is a hash of what was asked for and of the weights. The set's own
//! [`hash`](FrozenSet::hash) covers all of it. Whoever breeds a specimen that belongs to a set learns
//! whether it is the one that was frozen ([`check`]): one that is not means that the bits are broken.

use crate::{Error, Parameters, Spec};
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;

/// The files, one for each set; `.ci/freeze` writes them.
const FILES: [&str; 1] = [include_str!("../sets/flyroom-6.json")];

/// A set of specimens, frozen by the hash of each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrozenSet {
    /// Its name on the command line and in plans.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// The organisms, in order.
    pub members: Vec<Member>,
}

/// One organism of a set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Registry entry.
    pub organism: String,
    /// Version of the entry.
    pub version: u32,
    /// Epoch of the canonical order.
    pub bits_epoch: u32,
    /// All parameters.
    pub parameters: Parameters,
    /// The id of each seed, from 0 on.
    pub ids: Vec<String>,
}

static SETS: LazyLock<Vec<FrozenSet>> = LazyLock::new(|| {
    // That each can be read is a test.
    FILES.iter().filter_map(|text| serde_json::from_str(text).ok()).collect()
});

/// All sets.
pub fn frozen_sets() -> &'static [FrozenSet] {
    &SETS
}

/// The set of a name.
pub fn frozen_set(name: &str) -> Option<&'static FrozenSet> {
    SETS.iter().find(|set| set.name == name)
}

impl FrozenSet {
    /// blake3 of the name and of every member with all its ids, as JSON with sorted keys. It is what a
    /// paper cites.
    pub fn hash(&self) -> String {
        let members = serde_json::json!([self.name, self.members]);
        blake3::hash(members.to_string().as_bytes()).to_hex().to_string()
    }

    /// Seeds that every member has, from 0 on.
    pub fn seeds(&self) -> usize {
        self.members.iter().map(|m| m.ids.len()).min().unwrap_or(0)
    }
}

impl Member {
    /// Whether a specimen is of this organism as it was frozen: the same parameters, version and epoch.
    fn covers(&self, spec: &Spec) -> bool {
        self.organism == spec.organism
            && self.version == spec.version
            && self.bits_epoch == spec.bits_epoch
            && self.parameters == spec.parameters
    }
}

/// The set that a specimen belongs to, if any. Fails if it belongs to one and is not the specimen that was
/// frozen.
pub fn check(spec: &Spec) -> Result<Option<&'static FrozenSet>, Error> {
    check_in(&SETS, spec)
}

fn check_in<'s>(sets: &'s [FrozenSet], spec: &Spec) -> Result<Option<&'s FrozenSet>, Error> {
    for set in sets {
        let members = set.members.iter().filter(|m| m.covers(spec));
        let Some(frozen) = members.filter_map(|m| m.ids.get(spec.seed as usize)).next() else {
            continue;
        };
        let id = spec.id();
        if id != *frozen {
            return Err(Error::BitsBroken {
                organism: spec.organism.clone(),
                seed: spec.seed,
                set: set.name.clone(),
                id,
                frozen: frozen.clone(),
            });
        }
        return Ok(Some(set));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Nursery;
    use crate::{Specimen, find, with_defaults};
    use flyroom_tensor::Context;
    use std::collections::BTreeSet;

    #[test]
    fn every_set_can_be_read_and_is_made_of_what_the_registry_breeds_today() {
        assert_eq!(frozen_sets().len(), FILES.len());
        for set in frozen_sets() {
            for m in &set.members {
                let o = find(&m.organism).unwrap();
                let defaults = with_defaults(o, &m.parameters).unwrap();
                assert_eq!(defaults, m.parameters, "{} has other parameters now", m.organism);
                assert_eq!((o.entry().version, crate::BITS_EPOCH), (m.version, m.bits_epoch));
                assert!(m.ids.iter().all(|id| id.len() == 64));
            }
            let ids: BTreeSet<&String> = set.members.iter().flat_map(|m| &m.ids).collect();
            let count: usize = set.members.iter().map(|m| m.ids.len()).sum();
            assert_eq!(ids.len(), count, "an id stands twice in {}", set.name);
        }
    }

    #[test]
    fn flyroom_6_is_the_one_that_was_frozen() {
        let set = frozen_set("flyroom-6").unwrap();
        // Docs and papers name this hash; a set that changes gets another name.
        assert_eq!(set.hash(), "98b75eb939475c908bd1284d57233436c52bc27d7b82a259f645fe3e3b2784f6");
        assert_eq!((set.members.len(), set.seeds()), (6, 100));
    }

    #[test]
    fn a_specimen_of_a_set_that_was_bred_to_other_weights_is_refused() {
        let set = frozen_set("flyroom-6").unwrap();
        let m = set.members.iter().find(|m| m.organism == "superposition-40-10").unwrap();
        let o = find(&m.organism).unwrap();
        let bred = o.breed(&m.parameters, 0, &Context::single(), &Nursery::none()).unwrap();
        let (mut s, _) = Specimen::new(o, &m.parameters, 0, bred, Parameters::new());
        assert_eq!(check(&s.spec).unwrap().map(|set| set.name.as_str()), Some("flyroom-6"));
        s.spec.weights = blake3::hash(b"other weights").to_hex().to_string();
        let refused = check(&s.spec).unwrap_err().to_string();
        assert!(refused.contains("bits broken") && refused.contains(&m.ids[0]), "{refused}");
        // Another recipe, and a seed that was not frozen, are of no set.
        s.spec.parameters.insert("steps".into(), 17.into());
        assert!(check(&s.spec).unwrap().is_none());
        s.spec.parameters = m.parameters.clone();
        s.spec.seed = 1_000_000;
        assert!(check(&s.spec).unwrap().is_none());
    }
}

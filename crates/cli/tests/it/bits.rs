//! Same spec, same seed: the same bits with any kernels, any number of threads, alone or in a
//! group of seeds.

use crate::tool::{line, scratch};
use std::collections::BTreeMap;

/// Kernels that this CPU has; the others are named aloud.
fn kernels() -> Vec<&'static str> {
    let dir = scratch();
    let mut all = vec![];
    for k in ["portable", "avx2", "avx512", "neon"] {
        let ran = line(
            dir.path(),
            &format!("breed superposition-5-2 --set steps=1 --set batch=8 --kernels {k} --out {k}"),
        );
        if ran.code == Some(0) {
            all.push(k);
        } else {
            assert!(ran.stderr.contains(k), "{}", ran.stderr);
            eprintln!("SKIPPED: --kernels {k}: {}", ran.stderr.trim());
        }
    }
    assert!(all.contains(&"portable"));
    if has_avx2() {
        assert!(all.contains(&"avx2"), "this CPU has AVX2 and the binary refuses it");
    }
    all
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

fn one_id(breed: &str) {
    let dir = scratch();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for k in kernels() {
        for threads in [1, 2, 4] {
            let how = format!("--kernels {k} --threads {threads}");
            let bred =
                line(dir.path(), &format!("{breed} {how} --json --quiet --out {k}-{threads}"))
                    .json();
            let what = format!("{} {}", bred[0]["id"], bred[0]["metrics"]);
            found.entry(what).or_default().push(how);
        }
    }
    assert_eq!(found.len(), 1, "{breed}: {found:#?}");
}

#[test]
fn superposition_has_one_id_with_any_kernels_and_threads() {
    one_id("breed superposition-5-2 --set steps=200");
}

#[test]
fn induction_has_one_id_with_any_kernels_and_threads() {
    // Small sequences: evaluation is most of the time.
    one_id(
        "breed induction --set steps=6 --set warmup=2 --set batch=8 --set vocab=24 --set seq=20 \
         --set period_min=4 --set period_max=8",
    );
}

#[test]
fn a_seed_is_the_same_alone_and_in_a_group_of_sixteen() {
    let dir = scratch();
    let breed = "breed superposition-5-2 --set steps=100 --set batch=64 --json --quiet";
    let ids = |how: &str, out: &str| -> Vec<serde_json::Value> {
        let bred = line(dir.path(), &format!("{breed} {how} --out {out}")).json();
        bred.as_array().expect("a list").iter().map(|s| s["id"].clone()).collect()
    };
    let one = ids("--seeds 0..16 --threads 1", "one");
    assert_eq!(one.len(), 16);
    // As many seeds at a time as threads; of 16 on three and on five threads, one is left over.
    for threads in [2, 3, 5] {
        assert_eq!(ids(&format!("--seeds 0..16 --threads {threads}"), &format!("{threads}")), one);
    }
    assert_eq!(ids("--seeds 11..12 --threads 2", "alone"), one[11..12]);
    // The control: a seed decides something.
    assert!(one.windows(2).all(|w| w[0] != w[1]));
    // What is there already stands in its place among what is bred.
    std::fs::remove_dir_all(dir.path().join("one/superposition-5-2-7")).expect("it is there");
    assert_eq!(ids("--seeds 0..16 --threads 2", "one"), one);
}

#[test]
fn a_board_is_the_same_with_any_threads_and_kernels() {
    let dir = scratch();
    let plan = r#"name = "small"

[[organism]]
name = "superposition-5-2"
seeds = 2
set = { steps = 50, batch = 64 }

[[organism]]
name = "induction-compiled"
set = { letters = 3, seq = 3, n_heads = 2 }

[[method]]
step = "decompose"
name = "topk"
set = { steps = 30 }

[[method]]
step = "describe"
name = "eap"
set = { pairs = 4 }
"#;
    std::fs::write(dir.path().join("plan.toml"), plan).expect("a plan");
    let board = |out: &str, how: &str| {
        let ran = line(dir.path(), &format!("run plan.toml --quiet --json --out {out} {how}"));
        assert_eq!(ran.code, Some(0), "{how}: {}", ran.stderr);
        let file =
            std::fs::read_to_string(dir.path().join(out).join("board.json")).expect("a board");
        assert_eq!(file.trim_end(), ran.stdout.trim_end());
        file
    };
    let one = board("one", "--threads 1");
    assert_eq!(board("two", "--threads 2"), one);
    assert_eq!(board("portable", "--threads 2 --kernels portable"), one);
}

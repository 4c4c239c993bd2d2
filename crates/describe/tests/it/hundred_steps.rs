//! A hundred steps of training leave equal weights with all kernels and any number of threads, alone
//! and beside others; at small sizes here, at those of the benchmark in `.ci/run --long`.

use crate::training::{Workload, addition, previous};
use flyroom_tensor::hash::weights_hash;
use flyroom_tensor::{Context, Kernels};
use std::sync::atomic::{AtomicUsize, Ordering};

fn small() -> [(&'static str, Workload); 2] {
    // Odd sizes, above what is given to one thread alone.
    [("W1", addition(23, 36, 331)), ("W2", previous(17, 28, 13, 41))]
}

/// The hash of the weights after training.
fn trained(workload: &Workload, seed: u64, steps: usize, cx: &Context) -> String {
    let (_, weights) = workload.run(workload.init(seed).unwrap(), steps, cx, &|| {}).unwrap();
    let all = weights.iter().map(|(n, t)| (n.as_str(), t.shape(), t.data()));
    weights_hash(all).to_string()
}

fn fast() -> Vec<Kernels> {
    Kernels::all_available().into_iter().filter(|k| *k != Kernels::Portable).collect()
}

#[test]
fn a_hundred_steps_leave_equal_weights_with_all_kernels_and_threads() {
    for (name, workload) in small() {
        let first = trained(&workload, 0, 100, &Context::single());
        for kernels in fast() {
            for threads in [1, 2, 3] {
                let cx = Context::new(kernels, threads);
                assert_eq!(trained(&workload, 0, 100, &cx), first, "{name}, {cx:?}");
            }
        }
        // What must differ: another seed, one step less.
        assert_ne!(trained(&workload, 1, 100, &Context::single()), first);
        assert_ne!(trained(&workload, 0, 99, &Context::single()), first);
    }
}

#[test]
fn three_steps_in_portable_are_those_of_the_other_kernels() {
    for (name, workload) in small() {
        let first = trained(&workload, 0, 3, &Context::new(Kernels::Portable, 1));
        for kernels in fast() {
            let cx = Context::new(kernels, 2);
            assert_eq!(trained(&workload, 0, 3, &cx), first, "{name}, {cx:?}");
        }
        let cx = Context::new(Kernels::Portable, 3);
        assert_eq!(trained(&workload, 0, 3, &cx), first, "{name}, {cx:?}");
    }
}

#[test]
fn sixteen_seeds_in_one_process_are_those_of_each_alone() {
    let (_, workload) = &small()[1];
    let seeds: Vec<u64> = (0..16).collect();
    let alone: Vec<String> =
        seeds.iter().map(|&s| trained(workload, s, 20, &Context::single())).collect();
    for threads in [2, 3] {
        let next = AtomicUsize::new(0);
        let work = || {
            let cx = Context::single();
            let mut out = vec![];
            while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                out.push((seed, trained(workload, seed, 20, &cx)));
            }
            out
        };
        let mut group: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            all.into_iter().flat_map(|t| t.join().unwrap()).collect()
        });
        group.sort();
        assert!(group.iter().map(|g| &g.1).eq(&alone));
    }
    // Threads inside of each seed instead.
    let cx = Context::new(Kernels::detect(), 2);
    assert!(seeds.iter().zip(&alone).all(|(&s, hash)| trained(workload, s, 20, &cx) == *hash));
    assert!(alone.windows(2).all(|w| w[0] != w[1]));
}

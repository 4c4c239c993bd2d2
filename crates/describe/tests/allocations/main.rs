//! What a steady step allocates, counted by the allocator itself: an executable of its own, because
//! every allocation of every thread counts.

#[path = "../../examples/workloads/training.rs"]
mod training;

use flyroom_decompose::{Data, find, with_defaults};
use flyroom_tensor::{Context, Kernels, Stream, Tensor};
use serde_json::json;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use training::{Workload, addition, previous};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn count() -> usize {
    ALLOCATIONS.load(Ordering::SeqCst)
}

/// Allocations of each step but the first two and the last, which leaves a point of the curve.
fn of_steps(workload: &Workload, threads: usize) -> Vec<usize> {
    let cx = Context::new(Kernels::detect(), threads);
    let steps = 11;
    // Room for all of them, so that noting one allocates nothing.
    let seen = Mutex::new(Vec::with_capacity(steps));
    let done = || seen.lock().unwrap().push(count());
    workload.run(workload.init(0).unwrap(), steps, &cx, &done).unwrap();
    let seen = seen.into_inner().unwrap();
    seen[1..steps - 1].windows(2).map(|w| w[1] - w[0]).collect()
}

/// Allocations of training a dictionary for so many steps, those before the first step among them.
fn of_dictionary(steps: usize, cx: &Context) -> usize {
    let mut x = vec![0.0; 300 * 24];
    Stream::new(0, "allocations").block(0).fill_normal(&mut x, 1.0);
    let data = Data::new("s", Tensor::new(&[300, 24], x).unwrap());
    let method = find("topk").unwrap();
    let set = json!({"n_latents": 400, "k": 4, "batch": 128, "steps": steps, "resamples": 0});
    let set = with_defaults(method, set.as_object().unwrap()).unwrap();
    let before = count();
    method.decompose(&data, &set, 0, cx).unwrap();
    count() - before
}

/// With two threads, in all steps together: when a thread first gets a larger piece than before, its
/// memory for packed and for passing values grows.
const GROWTH: [usize; 2] = [0, 16];

#[test]
fn a_steady_step_allocates_nothing() {
    // A batch is handed over by value: its list and two arrays.
    const BATCH: usize = 3;
    for (threads, growth) in [1, 2].into_iter().zip(GROWTH) {
        for workload in [addition(23, 32, 200), previous(16, 32, 12, 24)] {
            let counts = of_steps(&workload, threads);
            assert!(counts.iter().all(|n| *n >= BATCH), "{threads} threads: {counts:?}");
            let more = counts.iter().sum::<usize>() - BATCH * counts.len();
            assert!(more <= growth, "{threads} threads: {counts:?}");
        }
        let cx = Context::new(Kernels::detect(), threads);
        // The memory of each thread is made once.
        of_dictionary(3, &cx);
        let (few, many) = (of_dictionary(3, &cx), of_dictionary(10, &cx));
        assert!(few.abs_diff(many) <= growth, "{threads} threads: {few}, {many}");
    }
    // The counter counts.
    let before = count();
    drop(std::hint::black_box(vec![1u8]));
    assert_eq!(count() - before, 1);
}

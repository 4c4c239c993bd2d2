//! Threads that wait awake for a while: between two short products of a training step there is no time
//! to put a thread to sleep and wake it again (some 50 microseconds each way where a hypervisor is
//! below, as much as a product takes).
//!
//! One thread calls [`Pool::run`] at a time and works along. Helpers that are awake join its round, the
//! others are woken and come late or not at all: the caller closes the round when no task is left and
//! waits only for those that had joined. A call from inside a task, or while another thread's round is
//! open, is done by its caller alone. Nothing is allocated.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, Thread};

/// Looks at the state before a helper falls asleep: some hundred microseconds.
const LOOKS: usize = 4096;
/// Looks before a caller that waits for its helpers lets others have the CPU.
const LOOKS_AT_HELPERS: usize = 256;

/// The state counts rounds above this bit, which says that the round is open; below it are those who
/// joined.
const OPEN: u64 = 1 << 16;

type Job<'a> = dyn Fn() + Sync + 'a;

/// What all threads see.
struct Shared {
    state: AtomicU64,
    /// Of the joined ones, how many are done.
    done: AtomicUsize,
    /// The open round's work, written by whoever holds `busy`, read by those who joined.
    job: UnsafeCell<Option<*const Job<'static>>>,
    busy: AtomicBool,
    stop: AtomicBool,
    /// What a helper panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `job` is written while the round is closed and nobody is in it, and read only by helpers that
// joined while it was open; `state` orders both.
unsafe impl Sync for Shared {}
// SAFETY: what `job` points to is `Sync` and outlives the round.
unsafe impl Send for Shared {}

struct Helper {
    handle: Option<JoinHandle<()>>,
    thread: Thread,
    asleep: Arc<AtomicBool>,
}

/// The helpers of one caller at a time.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    helpers: Vec<Helper>,
}

impl Pool {
    /// Starts so many helpers, or as many as the operating system gives.
    pub(crate) fn new(helpers: usize) -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            done: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            busy: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            panic: Mutex::new(None),
        });
        let start = |i: usize| {
            let asleep = Arc::new(AtomicBool::new(false));
            let (theirs, flag) = (shared.clone(), asleep.clone());
            let handle = std::thread::Builder::new()
                .name(format!("flyroom-{i}"))
                .spawn(move || theirs.help(&flag))
                .ok()?;
            Some(Helper { thread: handle.thread().clone(), handle: Some(handle), asleep })
        };
        let helpers = (0..helpers).map_while(start).collect();
        Self { shared, helpers }
    }

    pub(crate) fn helpers(&self) -> usize {
        self.helpers.len()
    }

    /// Calls `job` on this thread and on whatever helpers come in time. Returns when all calls have.
    pub(crate) fn run(&self, job: &(dyn Fn() + Sync)) {
        let shared = &*self.shared;
        if shared.busy.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err()
        {
            return job();
        }
        // SAFETY: the round is closed, nobody is in it (`Round` saw to that), and this thread alone holds
        // `busy`. The lifetime is forgotten until `Round` is dropped, before which no helper is left.
        unsafe {
            let job = std::mem::transmute::<*const Job<'_>, *const Job<'static>>(job);
            *shared.job.get() = Some(job);
        }
        shared.done.store(0, Ordering::Relaxed);
        let round = (shared.state.load(Ordering::Relaxed) / OPEN).wrapping_add(1) | 1;
        shared.state.store(round.wrapping_mul(OPEN), Ordering::Release);
        let open = Round { shared };
        // Either a helper that falls asleep sees the open round, or this thread sees it asleep.
        fence(Ordering::SeqCst);
        for helper in &self.helpers {
            if helper.asleep.load(Ordering::Relaxed) && helper.asleep.swap(false, Ordering::Relaxed)
            {
                helper.thread.unpark();
            }
        }
        job();
        let panic = open.close();
        std::mem::forget(open);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for helper in &mut self.helpers {
            helper.thread.unpark();
            if let Some(handle) = helper.handle.take() {
                // It catches its panics.
                let _ = handle.join();
            }
        }
    }
}

/// An open round; closed, and left by all helpers, when it is dropped, also by a panic of the caller.
struct Round<'a> {
    shared: &'a Shared,
}

impl Round<'_> {
    /// Closes the round, waits for whoever had joined and returns what one of them panicked with.
    fn close(&self) -> Option<Box<dyn Any + Send>> {
        let shared = self.shared;
        // Even rounds are closed ones.
        let round = shared.state.load(Ordering::Relaxed) / OPEN;
        let closed = round.wrapping_add(1).wrapping_mul(OPEN);
        let joined = (shared.state.swap(closed, Ordering::AcqRel) % OPEN) as usize;
        let mut looks = 0;
        while shared.done.load(Ordering::Acquire) < joined {
            looks += 1;
            match looks < LOOKS_AT_HELPERS {
                true => std::hint::spin_loop(),
                false => std::thread::yield_now(),
            }
        }
        let panic = shared.panic.lock().map_or(None, |mut panic| panic.take());
        shared.busy.store(false, Ordering::Release);
        panic
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        // The caller panics: of two panics its own is told.
        drop(self.close());
    }
}

impl Shared {
    /// A helper's life.
    fn help(&self, asleep: &AtomicBool) {
        let mut last = 0;
        let mut looks = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let state = self.state.load(Ordering::Acquire);
            let round = state / OPEN;
            if round % 2 == 1 && round != last {
                let joined = self.state.compare_exchange(
                    state,
                    state + 1,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                );
                if joined.is_ok() {
                    last = round;
                    looks = 0;
                    self.join();
                }
                continue;
            }
            looks += 1;
            if looks < LOOKS {
                std::hint::spin_loop();
                continue;
            }
            looks = 0;
            asleep.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            let state = self.state.load(Ordering::Relaxed);
            let nothing = (state / OPEN).is_multiple_of(2) || state / OPEN == last;
            if nothing && !self.stop.load(Ordering::SeqCst) {
                std::thread::park();
            }
            asleep.store(false, Ordering::Relaxed);
        }
    }

    /// The work of a round that this helper has joined.
    fn join(&self) {
        // SAFETY: written before the round was opened; it lives until this helper is counted as done.
        let job = unsafe { (*self.job.get()).map(|job| &*job) };
        if let Some(job) = job
            && let Err(panic) = catch_unwind(AssertUnwindSafe(job))
            && let Ok(mut place) = self.panic.lock()
        {
            place.get_or_insert(panic);
        }
        self.done.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_is_done_once_when_it_returns() {
        for helpers in 0..4 {
            let pool = Pool::new(helpers);
            for round in 0..3000 {
                let tasks = round % 7;
                let next = AtomicUsize::new(0);
                let sums: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(&|| {
                    while let Some(sum) = sums.get(next.fetch_add(1, Ordering::Relaxed)) {
                        sum.fetch_add(round + 1, Ordering::Relaxed);
                    }
                });
                assert!(sums.iter().all(|s| s.load(Ordering::Relaxed) == round + 1));
                if round % 1000 == 999 {
                    // Long enough to fall asleep.
                    std::thread::park_timeout(std::time::Duration::from_millis(20));
                }
            }
        }
    }

    #[test]
    fn rounds_inside_rounds_and_of_several_callers_are_done() {
        let pool = Pool::new(2);
        let count = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let mine = AtomicUsize::new(0);
                        pool.run(&|| {
                            if mine.fetch_add(1, Ordering::Relaxed) == 0 {
                                let inner = AtomicUsize::new(0);
                                pool.run(&|| {
                                    if inner.fetch_add(1, Ordering::Relaxed) == 0 {
                                        count.fetch_add(1, Ordering::Relaxed);
                                    }
                                });
                            }
                        });
                    }
                });
            }
        });
        assert_eq!(count.load(Ordering::Relaxed), 600);
    }

    #[test]
    fn a_panic_in_any_thread_reaches_the_caller_and_the_pool_goes_on() {
        let pool = Pool::new(2);
        for _ in 0..50 {
            let calls = AtomicUsize::new(0);
            let caught = catch_unwind(AssertUnwindSafe(|| {
                pool.run(&|| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    panic!("on purpose");
                });
            }));
            assert!(caught.is_err() && calls.load(Ordering::Relaxed) > 0);
        }
        let calls = AtomicUsize::new(0);
        pool.run(&|| {
            calls.fetch_add(1, Ordering::Relaxed);
        });
        assert!(calls.load(Ordering::Relaxed) > 0);
    }
}

//! Which code ran: LLVM's 8-bit counters, one an edge of the program.
//!
//! A program compiled with `-Cpasses=sancov-module` and `inline-8bit-counters` announces its counters
//! when it starts. A run is new where a counter reaches a power of two for the first time.

use std::sync::Mutex;

/// Where counters begin and how many there are.
static COUNTERS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// Called by the program's own start-up code; its name is LLVM's.
///
/// # Safety
/// `start..stop` are bytes that live as long as the program.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    let span = (start as usize, stop as usize - start as usize);
    if let Ok(mut all) = COUNTERS.lock()
        && span.1 > 0
        && !all.contains(&span)
    {
        all.push(span);
    }
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Coverage {
    /// For each counter the powers of two that it reached, as bits.
    reached: Vec<u8>,
}

fn each(mut visit: impl FnMut(&mut [u8])) {
    if let Ok(all) = COUNTERS.lock() {
        for &(start, len) in all.iter() {
            // SAFETY: the program's own counters, which nothing else here refers to. Other threads
            // may count meanwhile: a torn count is another count.
            visit(unsafe { std::slice::from_raw_parts_mut(start as *mut u8, len) });
        }
    }
}

impl Coverage {
    /// Counts from here.
    pub fn start(&mut self) {
        each(|counters| counters.fill(0));
    }

    /// Whether something ran that had not run, or not so often.
    pub fn stop(&mut self) -> bool {
        let (mut at, mut new) = (0, false);
        let reached = &mut self.reached;
        each(|counters| {
            reached.resize(reached.len().max(at + counters.len()), 0);
            for (chunk, seen) in counters.chunks(16).zip(reached[at..].chunks_mut(16)) {
                if chunk.iter().all(|&c| c == 0) {
                    continue;
                }
                for (&count, seen) in chunk.iter().zip(seen) {
                    if count > 0 {
                        let bit = 1 << count.ilog2();
                        new |= *seen & bit == 0;
                        *seen |= bit;
                    }
                }
            }
            at += counters.len();
        });
        new
    }

    /// How many counters ran.
    pub fn seen(&self) -> usize {
        self.reached.iter().filter(|&&r| r != 0).count()
    }
}

/// Whether the program was compiled with counters.
pub fn counts() -> bool {
    COUNTERS.lock().is_ok_and(|all| !all.is_empty())
}

//! How much memory a reader takes: an allocator that counts, for each thread.
//!
//! A reader that asks for far more than its file is stopped before the machine is: the file is
//! written to `runaway.bin` and the process ends.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// A file may take so many times its length ...
pub const RATIO: usize = 64;
/// ... and so much besides.
pub const ALWAYS: usize = 64 << 20;
/// The process ends here.
const STOP: isize = 4 << 30;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static INPUT: Cell<(*const u8, usize)> = const { Cell::new((std::ptr::null(), 0)) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count(bytes: isize) {
    let live = LIVE.get() + bytes;
    LIVE.set(live);
    if live > PEAK.get() {
        PEAK.set(live);
        if live > STOP {
            stop();
        }
    }
}

fn stop() -> ! {
    LIVE.set(isize::MIN / 2);
    let (start, len) = INPUT.get();
    if !start.is_null() {
        // SAFETY: `watch` was given a slice that outlives the reading of it, on this thread.
        let input = unsafe { std::slice::from_raw_parts(start, len) };
        let _ = std::fs::write("runaway.bin", input);
    }
    std::process::abort()
}

// SAFETY: every call goes to the system's allocator as it came; what is added are cells without
// destructors.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Counts from here, for a reader of `input`.
pub fn watch(input: &[u8]) {
    INPUT.set((input.as_ptr(), input.len()));
    LIVE.set(0);
    PEAK.set(0);
}

/// The most that was held at once since [`watch`].
pub fn peak() -> usize {
    INPUT.set((std::ptr::null(), 0));
    PEAK.get().max(0) as usize
}

/// How much a file of so many bytes may take.
pub fn allowed(len: usize) -> usize {
    RATIO * len + ALWAYS
}

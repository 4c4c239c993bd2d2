//! The only place that reads the clock.
//!
//! No result may depend on when it was made or on how long it took, so the clock is banned from
//! the workspace (clippy.toml) but for the two functions here. What they return goes to ledgers
//! and to progress bars, never into a cell.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A running stopwatch.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one module for timings; they live in ledgers only"
    )]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start, in seconds.
    pub fn elapsed_secs(&self) -> f64 {
        self.elapsed().as_secs_f64()
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Wall clock time in milliseconds since 1970-01-01 UTC; 0 where the clock stands before that.
pub fn unix_ms() -> u64 {
    u64::try_from(since_1970().as_millis()).unwrap_or(u64::MAX)
}

/// Wall clock time in nanoseconds since 1970-01-01 UTC, to compare with the times of files.
pub(crate) fn unix_ns() -> u64 {
    u64::try_from(since_1970().as_nanos()).unwrap_or(u64::MAX)
}

/// Nanoseconds within the current second: tells processes apart, decides nothing.
pub(crate) fn nonce() -> u32 {
    since_1970().subsec_nanos()
}

#[allow(
    clippy::disallowed_methods,
    reason = "the one module for timings; they live in ledgers only"
)]
fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

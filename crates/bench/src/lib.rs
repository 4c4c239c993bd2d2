//! flyroom-bench

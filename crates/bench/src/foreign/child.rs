//! Somebody else's program, started in a process group of its own, watched, and ended.
//!
//! Nothing that it does reaches the run: it has a time limit, a limit on what it writes, no input,
//! and its words go to a log of limited length. When its leader ends or is ended, what else is left
//! of its group is ended with it. Groups are known while the leader is not yet reaped, so no process
//! that was not started here is ever signalled.

use crate::clock::Stopwatch;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a program may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Wall-clock time.
    pub seconds: u64,
    /// Bytes of all files that it leaves.
    pub written_bytes: u64,
    /// Bytes of its words that are kept.
    pub log_bytes: usize,
}

/// Longest pause between two looks at a program.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// How often the size of what it wrote is looked at.
const WEIGH_EVERY: Duration = Duration::from_millis(250);
/// A process outside of the group may hold the pipe: its words are not waited for.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Runs a program to its end and returns its words; the error says in a few of them why it failed.
/// `written` are the folders whose size is limited.
pub fn run(
    mut command: Command,
    limits: &Limits,
    written: &[&Path],
) -> (Result<(), String>, Vec<u8>) {
    let name = command.get_program().to_string_lossy().into_owned();
    let pipe = io::pipe().and_then(|(reader, writer)| Ok((reader, writer.try_clone()?, writer)));
    let (reader, out, err) = match pipe {
        Ok(ends) => ends,
        Err(e) => return (Err(format!("no pipe for its words: {e}")), vec![]),
    };
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let started = command.spawn();
    // The command holds our writing ends; without them the pipe ends when the program does.
    drop(command);
    let mut child = match started {
        Ok(child) => child,
        Err(e) => return (Err(format!("cannot start `{name}`: {e}")), vec![]),
    };
    let log = Log::listen(reader, limits.log_bytes);
    let ended = watch(&mut child, limits, written);
    end(&mut child);
    let status = child.wait();
    let words = log.last_words();
    let result = ended.and_then(|()| match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(with_last_line(how(status), &words)),
        Err(e) => Err(format!("its end could not be read: {e}")),
    });
    (result, words)
}

/// Returns when the program has ended, or why it must be.
fn watch(child: &mut Child, limits: &Limits, written: &[&Path]) -> Result<(), String> {
    let clock = Stopwatch::start();
    let mut pause = Duration::from_millis(1);
    let mut weigh_at = WEIGH_EVERY;
    loop {
        if over(child).map_err(|e| format!("it could not be watched: {e}"))? {
            return Ok(());
        }
        let elapsed = clock.elapsed();
        if elapsed >= Duration::from_secs(limits.seconds) {
            return Err(format!("timed out after {} s", limits.seconds));
        }
        if elapsed >= weigh_at {
            weigh_at = elapsed + WEIGH_EVERY;
            let bytes: u64 = written.iter().map(|folder| size(folder)).sum();
            if bytes > limits.written_bytes {
                return Err(too_large(limits.written_bytes));
            }
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What is said of a program that fills the disk.
pub fn too_large(limit: u64) -> String {
    format!("wrote more than {} MiB", limit >> 20)
}

/// Bytes of the files below a folder as they say themselves, links not followed.
pub fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let of = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => size(&entry.path()),
        _ => entry.metadata().map_or(0, |m| m.len()),
    };
    entries.flatten().map(of).fold(0, u64::saturating_add)
}

/// Whether the program has ended; it stays unreaped, so its group keeps its name.
#[cfg(unix)]
fn over(child: &mut Child) -> io::Result<bool> {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let id = rustix::process::Pid::from_child(child);
    Ok(waitid(WaitId::Pid(id), options)?.is_some())
}

#[cfg(not(unix))]
fn over(child: &mut Child) -> io::Result<bool> {
    Ok(child.try_wait()?.is_some())
}

/// Ends what is left of the program's group.
#[cfg(unix)]
fn end(child: &mut Child) {
    use rustix::process::{Pid, Signal, kill_process_group};
    // A group that is gone is what was wanted.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
}

#[cfg(not(unix))]
fn end(child: &mut Child) {
    let _ = child.kill();
}

fn how(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("was ended by signal {signal}");
    }
    match status.code() {
        Some(code) => format!("exit status {code}"),
        None => "ended without an exit status".to_owned(),
    }
}

/// The last line of a log is where most programs say what went wrong.
fn with_last_line(how: String, words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    match text.lines().rev().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => {
            let line: String = line.chars().filter(|c| !c.is_control()).take(160).collect();
            format!("{how}: {line}")
        }
        None => how,
    }
}

/// What a program says, up to a length; the rest is read and dropped, so that it never waits.
struct Log {
    words: Arc<Mutex<Vec<u8>>>,
    done: std::sync::mpsc::Receiver<()>,
}

impl Log {
    fn listen(mut reader: io::PipeReader, limit: usize) -> Self {
        let words = Arc::new(Mutex::new(Vec::new()));
        let (send, done) = std::sync::mpsc::channel();
        let shared = Arc::clone(&words);
        std::thread::spawn(move || {
            let mut block = [0; 8192];
            while let Ok(n @ 1..) = reader.read(&mut block) {
                let mut words = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let room = limit.saturating_sub(words.len());
                words.extend_from_slice(&block[..n.min(room)]);
            }
            let _ = send.send(());
        });
        Self { words, done }
    }

    fn last_words(&self) -> Vec<u8> {
        let _ = self.done.recv_timeout(LAST_WORDS);
        std::mem::take(&mut *self.words.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

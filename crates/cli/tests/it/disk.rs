//! Real disks that are full: a few hundred kilobytes of memory as a file system (Linux, in a
//! namespace of the test's own, so that no rights are needed), a limit on the size of files, and
//! `/dev/full`. Where the system allows none of it the test says so.
#![cfg(target_os = "linux")]

use crate::tool::{command, line, scratch, small_plan};
use std::path::Path;
use std::process::{Command, Stdio};

/// A shell in a namespace where it may mount.
fn shell(dir: &Path, script: &str) -> Command {
    let mut c = Command::new("unshare");
    c.args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .current_dir(dir)
        .env("FLYROOM", env!("CARGO_BIN_EXE_flyroom"))
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null());
    c
}

#[test]
fn small_disks_of_many_sizes_lose_nothing_and_say_what_to_do() {
    let dir = scratch();
    std::fs::create_dir(dir.path().join("disk")).expect("a folder");
    let mounts = shell(dir.path(), "mount -t tmpfs -o size=64k tmpfs disk").output();
    if !mounts.is_ok_and(|out| out.status.success()) {
        eprintln!("SKIPPED: this system lets nobody mount a small disk");
        return;
    }
    std::fs::write(dir.path().join("plan.toml"), small_plan(1, 600, 32)).expect("a plan");
    let whole = line(dir.path(), "run plan.toml --out whole --quiet");
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    let board = std::fs::read(dir.path().join("whole/board.json")).expect("a board");
    let mut failed = 0;
    for kilobytes in (4..=400).step_by(66) {
        // Full, then the same command on the same folder with room.
        let script = format!(
            "mount -t tmpfs -o size={kilobytes}k tmpfs disk &&
             \"$FLYROOM\" run plan.toml --out disk/run --quiet >out.txt 2>err.txt; echo $? >code.txt
             mount -o remount,size=64m disk &&
             \"$FLYROOM\" run plan.toml --out disk/run --quiet >out2.txt 2>err2.txt; echo $? >code2.txt
             cp disk/run/board.json board.json
             find disk -name '*tmp*' >left.txt"
        );
        assert!(shell(dir.path(), &script).status().expect("a shell").success(), "{kilobytes}");
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).expect(name);
        let words = read("err.txt");
        match read("code.txt").trim() {
            "0" => {}
            "2" => {
                failed += 1;
                assert!(words.contains("disk/run"), "{kilobytes} kB: which file? {words}");
                assert!(words.contains("hint: make room"), "{kilobytes} kB: {words}");
            }
            other => panic!("{kilobytes} kB: exit code {other}: {words}"),
        }
        assert_eq!(read("code2.txt").trim(), "0", "{kilobytes} kB: {}", read("err2.txt"));
        let again = std::fs::read(dir.path().join("board.json")).expect("a board");
        assert_eq!(again, board, "{kilobytes} kB");
        let left = read("left.txt");
        assert!(!left.contains(".tmp-"), "{kilobytes} kB left {left}");
    }
    assert!(failed >= 3, "only {failed} of these disks were full");
}

#[test]
fn files_that_may_not_grow_are_named_and_the_same_command_goes_on() {
    let dir = scratch();
    std::fs::write(dir.path().join("plan.toml"), small_plan(1, 600, 32)).expect("a plan");
    let whole = line(dir.path(), "run plan.toml --out whole --quiet --json");
    assert_eq!(whole.code, Some(0), "{}", whole.stderr);
    let mut failed = 0;
    // Blocks of 512 bytes: from plan.toml to the report, each kind of file is too large once.
    for blocks in [0, 1, 2, 4, 8, 16, 32, 64, 128, 256] {
        let script = format!(
            "trap '' XFSZ; ulimit -f {blocks}; exec \"$FLYROOM\" run plan.toml --out run-{blocks} --quiet"
        );
        let out = Command::new("sh")
            .args(["-c", &script])
            .current_dir(dir.path())
            .env("FLYROOM", env!("CARGO_BIN_EXE_flyroom"))
            .env_remove("RUST_BACKTRACE")
            .output()
            .expect("a shell");
        let words = String::from_utf8_lossy(&out.stderr).into_owned();
        if out.status.code() == Some(2) {
            failed += 1;
            assert!(words.contains(&format!("run-{blocks}")), "{blocks}: which file? {words}");
            assert!(words.contains("hint: make room"), "{blocks}: {words}");
        }
        assert!(matches!(out.status.code(), Some(0 | 2)), "{blocks}: {:?} {words}", out.status);
        let again = line(dir.path(), &format!("run plan.toml --out run-{blocks} --quiet --json"));
        assert_eq!((again.code, &again.stdout), (Some(0), &whole.stdout), "{}", again.stderr);
    }
    assert!(failed >= 4, "only {failed} limits were met");
}

#[test]
fn data_that_does_not_reach_its_file_is_an_error() {
    let dir = scratch();
    let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let out = command(dir.path(), &["list", "metrics", "--json"])
        .stdout(full)
        .output()
        .expect("the binary starts");
    let words = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{words}");
    assert!(
        words.contains("cannot write to stdout") && words.contains("hint: make room"),
        "{words}"
    );
    // A reader that goes away is none: `flyroom list | head -1`.
    let script = "\"$FLYROOM\" list organisms --json | head -c 1 >/dev/null; exit 0";
    let ran = Command::new("sh")
        .args(["-c", script])
        .env("FLYROOM", env!("CARGO_BIN_EXE_flyroom"))
        .output()
        .expect("a shell");
    assert!(ran.stderr.is_empty(), "{}", String::from_utf8_lossy(&ran.stderr));
}

//! A short look at every reader, and every past finding.

use flyroom_fuzz::targets::TARGETS;
use flyroom_fuzz::{fuzz, memory, read, regressions};

#[test]
fn a_thousand_changed_files_end_no_reader() {
    for target in TARGETS {
        let out = fuzz(target, 0, |executions| executions == 1000);
        let found: Vec<_> =
            out.findings.iter().map(|f| (&f.what, f.input.escape_ascii().to_string())).collect();
        assert!(found.is_empty(), "{}: {found:?}", target.name);
        assert_eq!(out.executions, 1000);
    }
}

#[test]
fn what_was_found_once_ends_no_reader_again() {
    let folder = tempfile::tempdir().unwrap();
    for target in TARGETS {
        for (path, input) in regressions(target) {
            if let Err(what) = read(target, folder.path(), &input) {
                panic!("{}: {what}", path.display());
            }
        }
    }
}

#[test]
fn a_panic_and_a_reader_that_fills_memory_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let target = |read| flyroom_fuzz::Target {
        name: "bad",
        seeds: || vec![b"ab".to_vec()],
        words: &[],
        read,
    };
    let panics = target(|_, bytes| assert!(bytes.len() < 2, "too long"));
    assert_eq!(read(&panics, folder.path(), b"ab").unwrap_err(), "panic: too long");
    assert_eq!(fuzz(&panics, 0, |n| n == 100).findings.len(), 1);
    let fills = target(|_, bytes| drop(vec![1u8; memory::allowed(bytes.len()) + 1]));
    assert!(
        read(&fills, folder.path(), b"ab").unwrap_err().contains("bytes of memory for a file of 2")
    );
    let enough = target(|_, bytes| drop(vec![1u8; memory::allowed(bytes.len()) / 2]));
    assert!(read(&enough, folder.path(), b"ab").is_ok());
}

#[test]
fn every_good_file_is_read_in_peace_and_names_are_unique() {
    let folder = tempfile::tempdir().unwrap();
    let mut names: Vec<_> = TARGETS.iter().map(|t| t.name).collect();
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{}", target.name);
        for input in seeds {
            read(target, folder.path(), &input).unwrap();
        }
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), TARGETS.len());
}

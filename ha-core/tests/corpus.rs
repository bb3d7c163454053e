//! Replays the corpora of the fuzz targets: what a fuzzer once found stays found.

use std::path::Path;

#[allow(unreachable_pub, reason = "there it is a library")]
#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

/// Runs a target over each file of its corpus.
fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the corpus is committed")
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    assert!(files.len() >= 4, "{} holds no corpus", folder.display());
    for file in files {
        let bytes = std::fs::read(&file).expect("readable");
        // Seen when the run fails.
        println!("{}", file.display());
        run(&bytes);
    }
}

#[test]
fn envelope() {
    replay("envelope", fuzz::envelope::run);
}

#[test]
fn message() {
    replay("message", fuzz::message::run);
}

#[test]
fn operations() {
    replay("operations", fuzz::operations::run);
}

#[test]
fn section() {
    replay("section", fuzz::section::run);
}

/// The seeds are what they claim to be: a pair gets through them.
#[test]
fn seeds() {
    for (name, bytes) in fuzz::message::seeds() {
        assert!(bytes.len() > 100, "{name} holds no messages");
    }
    for (_, bytes) in fuzz::operations::seeds() {
        fuzz::operations::run(&bytes);
    }
    for (_, bytes) in fuzz::section::seeds() {
        fuzz::section::run(&bytes);
    }
}

//! Replays the corpus of the fuzz target `frame`: what a fuzzer once found stays found.

use std::path::Path;

#[allow(unreachable_pub, reason = "there it is a library")]
#[path = "../../fuzz/src/frame.rs"]
mod frame;

#[test]
fn frame_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/frame");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("the corpus is committed")
        .map(|entry| entry.expect("readable").path())
        .collect();
    files.sort();
    assert!(files.len() >= 4, "{} holds no corpus", folder.display());
    for file in files {
        println!("{}", file.display());
        frame::run(&std::fs::read(&file).expect("readable"));
    }
}

#[test]
fn frame_seeds() {
    for (name, bytes) in frame::seeds() {
        println!("{name}");
        frame::run(&bytes);
    }
}

//! Replays the corpora of the fuzz targets: what a fuzzer once found stays found.

use std::path::Path;

#[allow(unreachable_pub, reason = "there it is part of each target")]
#[path = "../../fuzz/src/ipsec/mod.rs"]
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

#[cfg(all(feature = "linux", target_os = "linux"))]
#[test]
fn netlink() {
    replay("netlink", fuzz::netlink::run);
}

/// Captured messages decode, and most of their SAs have records.
#[cfg(all(feature = "linux", target_os = "linux"))]
#[test]
fn captured_messages_are_understood() {
    let mut records = 0;
    for (name, bytes) in fuzz::netlink::seeds() {
        let course = fuzz::netlink::course(&bytes);
        println!("{name}: {course:?}");
        assert!(course.messages > 0 && course.damaged == 0);
        records += course.records;
    }
    assert!(records > 20);
}

#[test]
fn reservation() {
    replay("reservation", fuzz::reservation::run);
}

#[test]
fn rfc6311() {
    replay("rfc6311", fuzz::rfc6311::run);
}

#[test]
fn sa_record() {
    replay("sa_record", fuzz::sa_record::run);
}

#[test]
fn sad() {
    replay("sad", fuzz::sad::run);
}

#[test]
fn window() {
    replay("window", fuzz::window::run);
}

/// The seeds are what they claim to be: records decode, and pairs get through the others.
#[test]
fn seeds() {
    for (name, bytes) in fuzz::sa_record::seeds() {
        assert!(fuzz::sa_record::decodes(&bytes), "{name} is no record");
    }
    let others = [
        (
            fuzz::reservation::run as fn(&[u8]),
            fuzz::reservation::seeds(),
        ),
        (fuzz::rfc6311::run, fuzz::rfc6311::seeds()),
        (fuzz::window::run, fuzz::window::seeds()),
    ];
    for (run, seeds) in others {
        for (name, bytes) in seeds {
            println!("{name}");
            run(&bytes);
        }
    }
}

/// On both units, where the seed says so.
#[test]
fn pairs_get_somewhere() {
    for (name, bytes) in fuzz::sad::seeds() {
        let course = fuzz::sad::course(&bytes);
        println!("{name}: {course:?}");
        assert!(course.sent[0] > 300 && course.delivered[0] > 1);
        let moves = ["crash", "partition", "dark", "switchover"].contains(&name);
        assert!(!moves || course.sent[1] > 100 && course.delivered[1] > 0);
        assert_eq!(course.both, ["partition", "dark", "undone"].contains(&name));
    }
}

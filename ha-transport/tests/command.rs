//! The command that makes identities.
#![cfg(any(feature = "tcp", feature = "quic"))]
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, helpers included"
)]

use std::process::{Command, Output};

use ha_transport::Identity;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ha-identity"))
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn makes_and_shows_an_identity() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("unit-0");
    let path = path.to_str().unwrap();
    let made = run(&["new", path, "--name", "unit-0"]);
    assert!(made.status.success());
    let shown = run(&["show", path]);
    let fingerprint = Identity::load(path).unwrap().fingerprint().to_string();
    for output in [made, shown] {
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.contains(&fingerprint) && text.contains("unit-0"),
            "{text}"
        );
        assert!(!text.contains("PRIVATE"));
    }
    let again = run(&["new", path, "--name", "unit-0"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        String::from_utf8(again.stderr)
            .unwrap()
            .contains("never overwritten")
    );
}

#[test]
fn says_how_it_is_used() {
    for wrong in [&[][..], &["new", "somewhere"], &["show"], &["frobnicate"]] {
        let output = run(wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(String::from_utf8(output.stderr).unwrap().contains("usage:"));
    }
    assert!(run(&["--help"]).status.success());
}

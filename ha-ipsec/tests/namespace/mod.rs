//! Network namespaces for tests.

use std::process::{Command, Stdio};

/// Runs a test again as the only one of a process in a new namespace.
pub(crate) fn in_namespace(name: &str, test: fn()) {
    const INSIDE: &str = "HA_IPSEC_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let works = |how: &&&[&str]| {
        let mut probe = Command::new("unshare");
        probe.args(**how).arg("true").stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    };
    let ways: [&[&str]; 2] = [&["--net"], &["--map-root-user", "--net"]];
    let Some(how) = ways.iter().find(works) else {
        println!("not run: no network namespace can be made here (needs root or user namespaces)");
        return;
    };
    let status = Command::new("unshare")
        .args(*how)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .status();
    assert!(status.unwrap().success());
}

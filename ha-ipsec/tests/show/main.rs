//! The commands' output, byte by byte, against golden files; and the golden files against Cisco's
//! published samples, with every difference listed in DIFFERENCES.md.
//!
//! `GOLDEN=write cargo test -p ha-ipsec --features show --test show` writes the golden files anew;
//! read the diff before committing it.
#![cfg(feature = "show")]

mod compare;
mod database;
mod ipsec;
mod others;
mod records;
mod sessions;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::path::PathBuf;

use serde::Serialize;

/// One state of a gateway, as text and as JSON.
struct Case {
    name: &'static str,
    text: String,
    json: String,
}

impl Case {
    fn new<V: Display + Serialize>(name: &'static str, view: &V) -> Self {
        Self::detailed(name, view, view)
    }

    /// A command with a keyword: another text of the same value.
    fn detailed(name: &'static str, view: &impl Serialize, text: &impl Display) -> Self {
        Self {
            name,
            text: text.to_string(),
            json: serde_json::to_string_pretty(view).unwrap() + "\n",
        }
    }
}

fn cases() -> Vec<Case> {
    let all = [ipsec::cases(), others::cases(), sessions::cases()];
    all.into_iter().flatten().collect()
}

fn directory(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/show")
        .join(name)
}

fn files(name: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(directory(name)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

#[test]
fn every_output_is_as_its_golden_file() {
    let write = std::env::var_os("GOLDEN").is_some_and(|value| value == "write");
    for case in cases() {
        for (extension, found) in [("txt", &case.text), ("json", &case.json)] {
            let path = directory("golden").join(format!("{}.{extension}", case.name));
            if write {
                fs::write(&path, found).unwrap();
            }
            let expected = fs::read_to_string(&path).unwrap_or_default();
            assert!(
                *found == expected,
                "{}.{extension} differs; found:\n{found}\nexpected:\n{expected}",
                case.name
            );
        }
    }
}

#[test]
fn every_golden_file_has_its_state() {
    let names = cases().into_iter().map(|case| case.name);
    let expected: BTreeSet<String> = names
        .flat_map(|name| [format!("{name}.txt"), format!("{name}.json")])
        .collect();
    assert_eq!(files("golden"), expected);
}

/// Each sample, changed as DIFFERENCES.md says, is our output; and the list has no idle row.
#[test]
fn the_differences_from_cisco_are_those_listed() {
    let list = fs::read_to_string(directory("DIFFERENCES.md")).unwrap();
    let mut differences = compare::Differences::parse(&list);
    let cases = cases();
    for file in files("samples") {
        let name = file.strip_suffix(".txt").unwrap();
        let sample = fs::read_to_string(directory("samples").join(&file)).unwrap();
        let case = cases.iter().find(|case| case.name == name).unwrap();
        let (theirs, ours) = differences.reconcile(name, &sample, &case.text);
        assert_eq!(theirs, ours, "{name}: a difference is not listed");
    }
    assert_eq!(
        differences.idle(),
        Vec::<String>::new(),
        "rows that no sample needs"
    );
}

/// A terminal shows one line as one line whatever a peer calls itself.
#[test]
fn no_output_holds_control_characters() {
    for case in cases() {
        let odd = |c: char| c.is_control() && c != '\n';
        assert!(!case.text.contains(odd), "{}", case.name);
    }
}

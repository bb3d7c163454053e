use super::*;

fn report() -> Report {
    Report::new("core", true, Machine::read())
}

fn last(report: &Report) -> (Option<f64>, Verdict) {
    let row = report.rows().last().unwrap();
    (row.ratio, row.verdict)
}

#[test]
fn aims_at_the_limit_and_one_beyond() {
    let mut report = report();
    report.row("yard time", 3.0, Unit::Seconds, Aim::None);
    report.row("yard rate", 100.0, Unit::PerSecond, Aim::None);
    let faster = Aim::Faster {
        than: "yard time",
        times: 3.0,
    };
    let more = Aim::More {
        than: "yard rate",
        times: 10.0,
    };
    for (value, aim, ratio, verdict) in [
        (10.0, Aim::AtMost(10.0), 1.0, Verdict::Met),
        (20.0, Aim::AtMost(10.0), 0.5, Verdict::Missed),
        (10.0, Aim::AtLeast(10.0), 1.0, Verdict::Met),
        (5.0, Aim::AtLeast(10.0), 0.5, Verdict::Missed),
        (1.0, faster, 3.0, Verdict::Met),
        (2.0, faster, 1.5, Verdict::Missed),
        (1000.0, more, 10.0, Verdict::Met),
        (900.0, more, 9.0, Verdict::Missed),
        (50.0, Aim::Beside("yard rate"), 0.5, Verdict::NoAim),
    ] {
        report.row("measure", value, Unit::Seconds, aim);
        assert_eq!(
            last(&report),
            (Some(ratio), verdict),
            "{value} against {aim:?}"
        );
    }
}

#[test]
fn a_missing_yardstick_is_not_a_success() {
    let mut report = report();
    report.row(
        "m",
        1.0,
        Unit::Seconds,
        Aim::Faster {
            than: "nobody",
            times: 3.0,
        },
    );
    assert_eq!(last(&report), (None, Verdict::NoYardstick));
    report.row("m", 0.0, Unit::PerSecond, Aim::AtLeast(1.0));
    assert_eq!(last(&report).1, Verdict::Missed);
    report.row("m", f64::NAN, Unit::Seconds, Aim::AtMost(1.0));
    assert_eq!(last(&report).1, Verdict::Missed, "no figure is no success");
}

#[test]
fn table_shows_every_row() {
    let mut report = report();
    report.row("bulk", 0.512, Unit::Seconds, Aim::AtMost(0.1));
    report.row("rate", 1_234_567.0, Unit::PerSecond, Aim::None);
    let table = report.to_string();
    assert!(table.contains("bulk") && table.contains("0.512 s") && table.contains("MISSED"));
    assert!(table.contains("1 234 567 1/s"), "{table}");
}

#[test]
fn json_names_are_stable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/core.json");
    let mut report = report();
    report.row("bulk", 2.0, Unit::Micros, Aim::AtMost(1.0));
    report.write_json(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&json["area"], &json["quick"]),
        (&"core".into(), &true.into())
    );
    assert!(json["machine"]["cores"].as_u64().unwrap() > 0);
    let row = &json["rows"][0];
    assert_eq!((&row["name"], &row["unit"]), (&"bulk".into(), &"us".into()));
    assert_eq!((&row["value"], &row["ratio"]), (&2.0.into(), &0.5.into()));
    assert_eq!(
        (&row["aim"], &row["verdict"]),
        (&"at most 1.00 us".into(), &"missed".into())
    );
}

#[test]
fn numbers() {
    for (value, text) in [
        (0.0, "0"),
        (0.012_34, "0.0123"),
        (1.234, "1.23"),
        (12.34, "12.3"),
        (99.4, "99.4"),
        (123.4, "123"),
        (1234.0, "1 234"),
        (12_345_678.0, "12 345 678"),
        (-1234.0, "-1 234"),
    ] {
        assert_eq!(number(value), text);
    }
}

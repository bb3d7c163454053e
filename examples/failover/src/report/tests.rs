use super::*;
use crate::options::Inbound;
use crate::wire::Direction;

fn failure() -> FailureReport {
    FailureReport {
        kind: FaultKind::Crash,
        failed_unit: Gateway::A,
        at_s: 2.5,
        detect_ms: Some(161.25),
        takeover_ms: Some(170.0),
        inbound_ms: Some(170.0),
        outbound_ms: Some(165.0),
        address_moves: 1,
        sas_before: 10_000,
        sas_after: 10_000,
        sas_lost: 0,
        packets_sent: 123_456,
        packets_lost_in_outage: 3400,
        packets_dropped_by_replay_check: 12,
        dropped_by_gateway: 12,
        dropped_by_remote: 0,
        most_dropped_of_one_sa: 1,
        packets_lost_otherwise: 0,
        packets_refused_by_remote: 0,
        packets_duplicated: 0,
        replays_injected: 2000,
        replays_accepted: 0,
        replays_exposed: 0,
        sequence_numbers_reused: 0,
    }
}

fn options(failures: u32) -> Options {
    Options {
        failures,
        ..Options::default()
    }
}

fn report(failures: Vec<FailureReport>) -> Report {
    let options = options(failures.len() as u32);
    let outcome = Outcome {
        failures,
        ..Outcome::default()
    };
    Report::new(options, outcome)
}

#[test]
fn what_holds_passes() {
    let report = report(vec![failure(), failure()]);
    assert!(report.passed && report.broken.is_empty() && report.notes.is_empty());
    assert!(report.to_string().contains("passed: 2 failures"));
}

#[test]
fn each_broken_promise_is_named() {
    type Break = fn(&mut FailureReport);
    let cases: [(Break, &str); 8] = [
        (|f| f.sequence_numbers_reused = 3, "3 sequence numbers"),
        (|f| f.replays_accepted = 1, "1 replays were accepted"),
        (|f| f.takeover_ms = None, "never came back"),
        (|f| f.sas_lost = 5, "5 SAs lost"),
        (|f| f.sas_before = 0, "no SA carried traffic"),
        (
            |f| f.most_dropped_of_one_sa = 3,
            "dropped 3 packets of one SA",
        ),
        (|f| f.packets_refused_by_remote = 2, "could not open 2"),
        (|f| f.packets_duplicated = 9, ""),
    ];
    for (break_it, text) in cases {
        let mut failure = failure();
        break_it(&mut failure);
        let report = report(vec![failure]);
        if text.is_empty() {
            assert!(report.passed);
            continue;
        }
        assert!(!report.passed);
        assert_eq!(report.broken.len(), 1);
        assert!(report.broken[0].starts_with("failure 1 (crash): "));
        assert!(report.broken[0].contains(text), "{}", report.broken[0]);
        assert!(report.to_string().contains("BROKEN: failure 1"));
        assert!(!report.to_string().contains("passed"));
    }
}

#[test]
fn replays_are_allowed_where_they_are_announced() {
    let mut failure = failure();
    failure.replays_accepted = 1;
    let outcome = Outcome {
        failures: vec![failure],
        ..Outcome::default()
    };
    let options = Options {
        inbound: Inbound::Resume,
        ..options(1)
    };
    assert!(Report::new(options, outcome).passed);
}

#[test]
fn the_exposure_of_a_partition_is_noted_and_nothing_beyond_it() {
    let exposed = |kind, accepted| {
        let mut failure = failure();
        (failure.kind, failure.replays_accepted) = (kind, accepted);
        failure.replays_exposed = 5;
        report(vec![failure])
    };
    let announced = exposed(FaultKind::Partition, 5);
    assert!(announced.passed && announced.notes[0].contains("5 replays"));
    assert!(!exposed(FaultKind::Partition, 6).passed);
    assert!(!exposed(FaultKind::Hang, 5).passed);
}

#[test]
fn what_was_not_seen_is_not_passed() {
    let outcome = || Outcome {
        failures: vec![failure()],
        ..Outcome::default()
    };
    let short = Report::new(options(2), outcome());
    assert_eq!(short.broken, ["only 1 of 2 failures came to their end"]);
    let overflowed = Outcome {
        overflowed: 4,
        ..outcome()
    };
    assert!(!Report::new(options(1), overflowed).passed);
    let missed = Outcome {
        missed: 4,
        ..outcome()
    };
    let noted = Report::new(options(1), missed);
    assert!(noted.passed && noted.notes[0].contains("dropped 4 packets"));
}

#[test]
fn further_takeovers_are_noted() {
    let mut failure = failure();
    failure.address_moves = 3;
    let report = report(vec![failure]);
    assert!(report.passed && report.notes[0].contains("moved 3 times"));
}

#[test]
fn busy_sas_may_lose_what_they_send_in_20_ms() {
    let limit = |sas, pps| {
        let options = Options {
            sas,
            pps,
            ..options(1)
        };
        Report::new(options, Outcome::default()).replay_limit()
    };
    assert_eq!(limit(10_000, 20_000), 2);
    assert_eq!(limit(100, 10_000), 2);
    assert_eq!(limit(10, 20_000), 40);
}

#[test]
fn totals_add_counts_and_show_the_worst_time() {
    let mut slow = failure();
    (slow.takeover_ms, slow.sas_after) = (Some(900.0), 9_999);
    let totals = Totals::of(&[failure(), slow, failure()]);
    assert_eq!(totals.takeover_ms, Some(900.0));
    assert_eq!(totals.takeover_ms_median, Some(170.0));
    assert_eq!(totals.detect_ms, Some(161.25));
    assert_eq!(totals.sas_after, 9_999);
    assert_eq!(totals.packets_sent, 3 * 123_456);
    assert_eq!(totals.replays_injected, 6000);
    let mut never = failure();
    never.takeover_ms = None;
    assert_eq!(Totals::of(&[failure(), never]).takeover_ms, None);
}

#[test]
fn the_json_has_the_promised_names() {
    let json = serde_json::to_value(report(vec![failure()])).unwrap();
    let names = [
        "detect_ms",
        "takeover_ms",
        "sas_before",
        "sas_after",
        "packets_sent",
        "packets_lost_in_outage",
        "packets_dropped_by_replay_check",
        "replays_injected",
        "replays_accepted",
        "sequence_numbers_reused",
    ];
    for name in names {
        assert!(json["failures"][0][name].is_number(), "{name}");
        assert!(json["totals"][name].is_number(), "{name}");
    }
    assert_eq!(json["failures"][0]["kind"], "crash");
    assert_eq!(json["failures"][0]["failed_unit"], "A");
    assert_eq!(json["options"]["fault"], "mixed");
    assert_eq!(json["passed"], true);
}

#[test]
fn files_are_written_and_errors_name_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/report.json");
    let report = report(vec![failure()]);
    report.write_json(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    let error = report.write_plot(folder.path()).unwrap_err().to_string();
    assert!(error.starts_with("cannot write "), "{error}");
}

#[test]
fn the_table_is_aligned() {
    let mut hang = failure();
    (hang.kind, hang.takeover_ms) = (FaultKind::Switchover, None);
    let text = report(vec![failure(), hang]).to_string();
    let lines: Vec<_> = text.lines().take(7).collect();
    assert!(lines[0].contains("takeover"));
    assert!(lines[3].contains("crash of A") && lines[3].contains("10 000"));
    assert!(lines[4].contains("never"));
    assert!(lines[6].contains("246 912"));
    for line in &lines {
        assert_eq!(line.len(), lines[0].len(), "{text}");
    }
    assert!(lines[0].len() <= 120, "{}", lines[0].len());
}

/// Tags that are opened and not closed, by a reader that knows no more than well-formedness.
fn unclosed(svg: &str) -> Vec<String> {
    let mut open = Vec::new();
    for tag in svg.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').expect("a tag ends");
        assert!(!text.contains('>') && !text.contains('&'), "{text}");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap().to_owned());
        }
    }
    open
}

#[test]
fn the_plot_is_well_formed_and_shows_each_failure() {
    let mut timeline = Timeline::default();
    for ms in 0..5000 {
        timeline.sent(Direction::Inbound, ms * 1_000_000);
        timeline.delivered(Direction::Outbound, ms * 1_000_000);
    }
    let mut never = failure();
    (never.kind, never.takeover_ms, never.at_s) = (FaultKind::Hang, None, 4.0);
    let svg = plot(&timeline, &[failure(), never]);
    assert!(unclosed(&svg).is_empty());
    assert!(svg.contains("crash A, 170 ms") && svg.contains("hang A, never back"));
    assert_eq!(svg.matches("<polyline").count(), 2);
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
    assert!(svg.contains(">1500/s<"));
    let empty = plot(&Timeline::default(), &[]);
    assert!(unclosed(&empty).is_empty() && !empty.contains("NaN"));
}

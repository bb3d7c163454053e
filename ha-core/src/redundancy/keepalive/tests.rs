use super::*;

const INTERVAL: u64 = 100;

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn started() -> KeepaliveMonitor {
    let mut monitor = KeepaliveMonitor::new(KeepaliveConfig::default());
    monitor.start(at(0));
    monitor
}

/// Punctual ticks up to `until`; the event of the last one.
fn tick_until(monitor: &mut KeepaliveMonitor, until: u64) -> Option<KeepaliveEvent> {
    let mut last = None;
    while let Some(due) = monitor.poll_timeout().filter(|due| *due <= at(until)) {
        last = monitor.handle_timeout(due);
    }
    last
}

#[test]
fn silence_for_the_threshold_is_a_loss_reported_once() {
    let mut monitor = started();
    assert_eq!(tick_until(&mut monitor, 6 * INTERVAL), None);
    assert_eq!(monitor.count(), 6);
    assert_eq!(
        tick_until(&mut monitor, 7 * INTERVAL),
        Some(KeepaliveEvent::PeerLost)
    );
    assert!(!monitor.is_running());
    assert_eq!(monitor.handle_timeout(at(100_000)), None);
    monitor.start(at(100_000));
    assert_eq!(monitor.count(), 0);
}

#[test]
fn anything_heard_starts_the_count_anew() {
    let mut monitor = started();
    tick_until(&mut monitor, 6 * INTERVAL);
    monitor.heard();
    assert_eq!(monitor.count(), 0);
    assert_eq!(tick_until(&mut monitor, 7 * INTERVAL), None);
    assert_eq!(monitor.count(), 0, "heard since the last tick");
    assert_eq!(tick_until(&mut monitor, 13 * INTERVAL), None);
    assert_eq!(
        tick_until(&mut monitor, 14 * INTERVAL),
        Some(KeepaliveEvent::PeerLost)
    );
}

#[test]
fn a_peer_that_is_heard_in_time_is_never_lost_and_detection_is_within_its_bound() {
    let config = KeepaliveConfig::default();
    for last_heard in 0..INTERVAL {
        // Heard once in each interval, at this point of it, then not any more.
        let mut monitor = started();
        let mut lost = None;
        for millis in 1..5000 {
            if millis <= 1000 + last_heard && millis % INTERVAL == last_heard {
                monitor.heard();
            }
            if monitor.handle_timeout(at(millis)) == Some(KeepaliveEvent::PeerLost) {
                lost = Some(millis);
            }
        }
        let silence = Duration::from_millis(lost.unwrap() - (1000 + last_heard));
        let least = config.interval() * config.threshold();
        assert!(
            silence >= least && silence <= config.detection_time(),
            "{silence:?}"
        );
    }
}

#[test]
fn a_timer_that_is_not_due_does_nothing() {
    let mut monitor = started();
    assert_eq!(monitor.handle_timeout(at(99)), None);
    assert_eq!(
        (monitor.count(), monitor.poll_timeout()),
        (0, Some(at(100)))
    );
    monitor.stop();
    assert_eq!(monitor.handle_timeout(at(10_000)), None);
}

#[test]
fn a_short_pause_counts_once_and_never_declares_the_peer_lost() {
    let mut monitor = started();
    tick_until(&mut monitor, 6 * INTERVAL);
    let late = Duration::from_millis(250);
    assert_eq!(
        monitor.handle_timeout(at(950)),
        Some(KeepaliveEvent::Paused { late })
    );
    assert_eq!(monitor.count(), 7, "counts once");
    assert_eq!(
        monitor.poll_timeout(),
        Some(at(1050)),
        "a whole interval to read what came"
    );
    let mut silent = monitor.clone();
    assert_eq!(
        silent.handle_timeout(at(1050)),
        Some(KeepaliveEvent::PeerLost)
    );
    monitor.heard();
    assert_eq!(monitor.handle_timeout(at(1050)), None);
    assert_eq!(monitor.count(), 0);
}

#[test]
fn after_a_pause_in_which_the_peer_may_have_given_this_unit_up_the_count_starts_anew() {
    let mut monitor = started();
    tick_until(&mut monitor, 6 * INTERVAL);
    let late = Duration::from_secs(60);
    assert_eq!(
        monitor.handle_timeout(at(60_700)),
        Some(KeepaliveEvent::Paused { late })
    );
    assert_eq!(monitor.count(), 1);
    assert_eq!(tick_until(&mut monitor, 61_200), None);
    assert_eq!(
        tick_until(&mut monitor, 61_300),
        Some(KeepaliveEvent::PeerLost)
    );
}

#[test]
fn a_tick_just_short_of_late_is_punctual() {
    let mut monitor = started();
    assert_eq!(monitor.handle_timeout(at(199)), None);
    assert_eq!(monitor.poll_timeout(), Some(at(200)), "keeps the beat");
    let late = Duration::from_millis(100);
    assert_eq!(
        monitor.handle_timeout(at(300)),
        Some(KeepaliveEvent::Paused { late })
    );
}

#[test]
fn a_unit_that_is_always_late_still_finds_failures() {
    for lateness in [100, 250, 700, 5000] {
        let mut monitor = started();
        let mut now = 0;
        let lost = (0..20).find(|_| {
            now += INTERVAL + lateness;
            monitor.handle_timeout(at(now)) == Some(KeepaliveEvent::PeerLost)
        });
        assert_eq!(lost, Some(6), "late by {lateness} ms");
    }
}

#[test]
fn configurations_are_checked_at_their_limits() {
    let (ms, ns) = (Duration::from_millis, Duration::from_nanos(1));
    for interval in [ms(10), ms(60_000)] {
        assert!(KeepaliveConfig::new(interval, 7).is_ok());
    }
    for interval in [Duration::ZERO, ms(10) - ns, ms(60_000) + ns] {
        let refused = KeepaliveConfig::new(interval, 7);
        assert_eq!(refused, Err(KeepaliveConfigError::Interval { interval }));
    }
    for threshold in [2, 50] {
        assert!(KeepaliveConfig::new(ms(100), threshold).is_ok());
    }
    for threshold in [0, 1, 51] {
        let refused = KeepaliveConfig::new(ms(100), threshold);
        assert_eq!(refused, Err(KeepaliveConfigError::Threshold { threshold }));
    }
    for config in [KeepaliveConfig::default(), KeepaliveConfig::fast()] {
        assert_eq!(
            KeepaliveConfig::new(config.interval(), config.threshold()),
            Ok(config)
        );
    }
    assert!(KeepaliveConfig::default().detection_time() <= Duration::from_secs(1));
    assert!(KeepaliveConfig::fast().detection_time() <= ms(200));
}

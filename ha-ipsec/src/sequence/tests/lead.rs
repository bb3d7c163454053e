use core::time::Duration;

use ha_core::time::Time;

use super::super::{LeadConfig, LeadSizer};
use super::{OutboundCounter, SequenceSpace, alone};

const TICK: Duration = Duration::from_millis(10);

/// 10 ms and 1 ms: a lead is what is used in 22 ms.
fn config() -> LeadConfig {
    LeadConfig {
        min: 10,
        max: 5000,
        ..LeadConfig::default()
    }
}

struct Sender {
    counter: OutboundCounter,
    sizer: LeadSizer,
    now: Time,
}

impl Sender {
    fn new(counter: OutboundCounter) -> Self {
        Self {
            counter,
            sizer: LeadSizer::new(Time::ZERO),
            now: Time::ZERO,
        }
    }

    /// Sends for 10 ms, then looks.
    fn tick(&mut self, numbers: u32) -> u64 {
        if numbers > 0 {
            assert_eq!(self.counter.take(numbers, &alone()).unwrap().count, numbers);
        }
        self.now = self.now + TICK;
        self.sizer.lead(&self.counter, &config(), self.now)
    }
}

#[test]
fn a_lead_is_what_is_used_in_two_trips() {
    let mut sender = Sender::new(OutboundCounter::fresh(SequenceSpace::Bits32, 0));
    assert_eq!(sender.tick(1000), 2200);
    assert_eq!(sender.sizer.rate(), 100_000);
}

#[test]
fn leads_keep_within_their_bounds() {
    let mut sender = Sender::new(OutboundCounter::fresh(SequenceSpace::Bits32, 0));
    assert_eq!(sender.tick(0), 10);
    assert_eq!(sender.tick(1_000_000), 5000);
    let odd = LeadConfig {
        min: 9000,
        ..config()
    };
    assert_eq!(sender.sizer.lead(&sender.counter, &odd, sender.now), 5000);
}

#[test]
fn a_rise_is_followed_at_once_and_a_fall_slowly() {
    let mut sender = Sender::new(OutboundCounter::fresh(SequenceSpace::Bits32, 0));
    sender.tick(10);
    assert_eq!(sender.tick(1000), 2200);
    let after = (0..100).map(|_| sender.tick(0)).last().unwrap();
    assert!(
        (500..1100).contains(&after),
        "{after} after a second of silence"
    );
    let after = (0..900).map(|_| sender.tick(0)).last().unwrap();
    assert_eq!(after, 10);
}

#[test]
fn a_pause_is_seen_for_what_it_is() {
    let mut sender = Sender::new(OutboundCounter::fresh(SequenceSpace::Bits32, 0));
    sender.tick(1000);
    sender.now = sender.now + Duration::from_secs(1000);
    assert_eq!(sender.tick(1), 10);
}

#[test]
fn skipped_numbers_are_no_rate() {
    let mut sender = Sender::new(OutboundCounter::resume(
        SequenceSpace::Bits32,
        1_000_000,
        5000,
        0,
    ));
    assert_eq!(sender.tick(100), 220);
    sender.counter.propose(100);
    sender.counter.contest();
    let jump = sender.counter.propose(100).reserved;
    sender.counter.acknowledge(jump);
    assert!(sender.tick(90) <= 220);
}

#[test]
fn looks_in_quick_succession_count_as_one() {
    let mut sender = Sender::new(OutboundCounter::fresh(SequenceSpace::Bits32, 0));
    sender.tick(1000);
    let _ = sender.counter.take(500, &alone()).unwrap();
    let soon = sender.now + Duration::from_micros(1);
    assert_eq!(sender.sizer.lead(&sender.counter, &config(), soon), 2200);
    assert_eq!(
        sender.sizer.lead(&sender.counter, &config(), sender.now),
        2200
    );
    assert_eq!(sender.tick(500), 2200);
}

#[test]
fn an_sa_that_waits_for_its_reservations_gets_larger_ones() {
    let counter = OutboundCounter::fresh(SequenceSpace::Bits32, 0);
    counter.propose(10);
    let mut sender = Sender::new(counter);
    let leads: Vec<u64> = (0..12)
        .map(|_| {
            // It sends all it may, in each round trip.
            while sender.counter.take(64, &alone()).is_ok() {}
            let lead = sender.tick(0);
            sender
                .counter
                .acknowledge(sender.counter.propose(lead).reserved);
            lead
        })
        .collect();
    assert!(leads.is_sorted());
    assert_eq!(leads.last(), Some(&5000));
}

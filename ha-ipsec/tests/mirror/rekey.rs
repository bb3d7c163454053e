//! When the IKE daemon is asked for rekeys.

use ha_ipsec::linux::mirror::{MirrorConfig, Mode};
use ha_ipsec::replay::InboundPolicy;

use crate::harness::{inbound_id, outbound_id};
use crate::world::{World, config};

/// Unit 1 took over from a busy unit 0. Returns the first number that its window does not know yet.
fn taken_over(settings: MirrorConfig) -> (World, u64) {
    let mut world = World::new(settings);
    let sas = [0, 1];
    world.install(&sas, 1);
    world.run_for(100);
    world.traffic(0, 300, 1);
    world.crash(0);
    world.run_until("takeover", |world| world.is_active(1));
    let placed = world.kernels[1].held(inbound_id(1)).unwrap();
    (world, placed.replay.inbound + 1)
}

/// TCP tries again what was lost.
fn refused(world: &mut World, below: u64) {
    assert!(!world.receive(1, 1, below - 1));
}

fn asked(world: &World) -> usize {
    world.kernels[1].soft_expired().len()
}

#[test]
fn an_sa_that_refuses_its_peer_after_a_takeover_is_rekeyed() {
    for mode in [Mode::Counters, Mode::Full] {
        let mut world = World::in_use(mode);
        world.traffic(0, 300, 1);
        world.crash(0);
        world.run_until("takeover", |world| world.is_active(1));
        let below = world.kernels[1].held(inbound_id(1)).unwrap().replay.inbound + 1;
        refused(&mut world, below);
        world.run_for(900);
        // A sender at a rate gets past it in this time.
        assert_eq!(asked(&world), 0, "{mode:?}");
        world.run_for(300);
        assert_eq!(world.kernels[1].soft_expired(), [inbound_id(1)], "{mode:?}");
        // The IKE daemon answers.
        world.install(&[1], 2);
        world.run_for(60_000);
        assert_eq!(asked(&world), 1, "{mode:?}");
        let stats = world.mirror(1).stats();
        assert_eq!((stats.rekeys_asked, stats.held_out), (1, 1), "{mode:?}");
    }
}

#[test]
fn a_peer_that_passes_the_ceiling_by_itself_is_left_alone() {
    let (mut world, next) = taken_over(config(Mode::Counters));
    refused(&mut world, next);
    assert!(world.receive(1, 1, next));
    world.run_for(20_000);
    assert_eq!(asked(&world), 0);
}

#[test]
fn so_is_one_that_does_after_it_was_asked_for() {
    let (mut world, next) = taken_over(config(Mode::Counters));
    refused(&mut world, next);
    world.run_for(1500);
    assert_eq!(asked(&world), 1);
    assert!(world.receive(1, 1, next));
    world.run_for(60_000);
    assert_eq!(asked(&world), 1);
}

#[test]
fn a_silent_peer_is_waited_for() {
    let (mut world, next) = taken_over(config(Mode::Counters));
    world.run_for(20_000);
    assert_eq!(asked(&world), 0);
    refused(&mut world, next);
    let since = world.pair.now;
    world.run_until("asked", |world| asked(world) == 1);
    // At most a quarter of the time since the takeover.
    let waited = world.pair.now.since(since).as_millis();
    assert!(waited <= 5250, "{waited}");
}

#[test]
fn what_was_refused_before_the_takeover_does_not_count() {
    let mut world = World::in_use(Mode::Counters);
    world.crash(1);
    world.traffic(0, 1500, 1);
    for _ in 0..10 {
        assert!(!world.receive(0, 1, 1));
    }
    // The mirror alone begins anew: the kernel's counts live on.
    world.mirrors[0] = None;
    world.pair.crash(0);
    world.boot(0);
    world.run_until("active", |world| world.is_active(0));
    world.run_for(10_000);
    assert_eq!(world.kernels[0].soft_expired(), []);
}

#[test]
fn who_does_not_answer_is_asked_again_for_about_a_minute() {
    let (mut world, next) = taken_over(config(Mode::Counters));
    refused(&mut world, next);
    world.run_for(5000);
    // Its daemon may notice the death seconds later than the mirror.
    assert!((4..=5).contains(&asked(&world)), "{}", asked(&world));
    world.run_for(75_000);
    assert_eq!(asked(&world), 10);
    world.run_for(60_000);
    assert_eq!(asked(&world), 10);
    assert_eq!(world.mirror(1).stats().held_out, 1);
}

#[test]
fn an_sa_that_is_gone_is_not_asked_for() {
    let (mut world, next) = taken_over(config(Mode::Counters));
    refused(&mut world, next);
    world.kernels[1].delete(inbound_id(1));
    world.run_for(5000);
    assert_eq!(asked(&world), 0);
}

#[test]
fn with_the_setting_off_and_under_resume_nobody_is_asked() {
    let mut off = config(Mode::Counters);
    off.rekey_held = false;
    let mut resume = config(Mode::Counters);
    resume.policy = InboundPolicy::Resume;
    for settings in [off, resume] {
        let (mut world, next) = taken_over(settings);
        refused(&mut world, next);
        world.run_for(5000);
        assert_eq!(asked(&world), 0);
    }
}

#[test]
fn rekeys_and_looks_are_bounded() {
    const SAS: u32 = 100;
    let mut settings = config(Mode::Counters);
    settings.max_rekeys_per_s = 10;
    let mut world = World::new(settings);
    for number in 1..=SAS {
        world.install(&[0, 1], number);
        world.run_for(2);
    }
    world.run_for(100);
    for number in 1..=SAS {
        world.receive(0, number, 1);
        world.receive(0, number, 2);
        world.step();
    }
    world.run_for(50);
    world.crash(0);
    world.run_until("takeover", |world| world.is_active(1));
    for number in 1..=SAS {
        assert!(!world.receive(1, number, 1));
    }
    let reads = world.kernels[1].reads();
    world.run_for(3000);
    // Two seconds after the grace time.
    assert!((15..=22).contains(&asked(&world)), "{}", asked(&world));
    let reads = world.kernels[1].reads() - reads;
    assert!(reads <= 3100, "{reads}");
    world.run_for(1000);
    let mut once = world.kernels[1].soft_expired();
    once.sort();
    once.dedup();
    // Those that wait for the first time come before those that wait again.
    assert!(once.len() >= 20, "{}", once.len());
}

#[test]
fn quiet_sas_are_not_looked_at() {
    let mut world = World::in_use(Mode::Counters);
    world.traffic(0, 100, 1);
    world.run_for(20_000);
    world.crash(0);
    world.run_until("takeover", |world| world.is_active(1));
    refused(&mut world, 2);
    world.run_for(20_000);
    assert_eq!(asked(&world), 0, "an old packet is a replay");
}

#[test]
fn an_outbound_sa_out_of_numbers_is_asked_for_until_it_is_replaced() {
    let mut settings = config(Mode::Counters);
    settings.budget = 1000;
    let mut world = World::new(settings);
    world.install(&[0, 1], 1);
    world.run_for(100);
    world.crash(1);
    world.run_for(2000);
    for _ in 0..100 {
        world.send(0, 1, 40);
        world.step();
    }
    world.run_for(2500);
    let of_it = |world: &World| {
        let asked = world.kernels[0].soft_expired();
        asked.iter().filter(|id| **id == outbound_id(1)).count()
    };
    assert_eq!(of_it(&world), 3);
    assert!(world.mirror(0).stats().beyond_budget > 0);
    world.install(&[0], 2);
    world.run_for(20_000);
    assert_eq!(of_it(&world), 3);
}

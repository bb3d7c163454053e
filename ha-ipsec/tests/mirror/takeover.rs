//! What holds through takeovers.

use ha_ipsec::linux::mirror::{Mode, Usage};
use ha_ipsec::linux::xfrm;
use ha_ipsec::replay::InboundPolicy;

use crate::harness::{UNIX_S, inbound, inbound_id, outbound_id};
use crate::world::{World, config, prepared};

#[test]
fn numbers_and_windows_survive_crashes_in_both_directions() {
    for mode in [Mode::Counters, Mode::Full] {
        let mut world = World::in_use(mode);
        let (mut active, mut peer) = (0, 1);
        for _ in 0..6 {
            peer = world.traffic(active, 300, peer);
            world.crash(active);
            active = 1 - active;
            world.run_until("takeover", |world| world.is_active(active));
            // What was accepted is replayed at the new active unit: `receive` would panic.
            for number in peer.saturating_sub(2000).max(1)..peer {
                world.receive(active, 1, number);
            }
            // The peer went on sending during the outage.
            peer += 3 * 750;
            peer = world.traffic(active, 100, peer);
            let last = world.kernels[active].held(inbound_id(1)).unwrap();
            assert_eq!(last.replay.inbound, peer - 1, "{mode:?}: accepted again");
            // The other machine comes back, without SAs; an IKE daemon with high availability of
            // its own brings them again.
            world.boot(1 - active);
            if mode == Mode::Counters {
                world.install(&[1 - active], 1);
            }
            world.run_until("whole", World::is_whole);
            world.run_for(1500);
        }
        assert_eq!(world.mirror(active).stats().beyond_budget, 0);
    }
}

#[test]
fn a_takeover_looks_at_what_moved_and_not_at_everything() {
    let mut world = World::in_use(Mode::Full);
    for number in 2..40 {
        world.install(&[0], number);
    }
    world.run_for(3000);
    world.traffic(0, 300, 1);
    let dumps = world.mirror(1).stats().dumps;
    world.crash(0);
    world.run_until("takeover", |world| world.is_active(1));
    // The one that follows, once the kernel carries packets.
    assert_eq!(world.mirror(1).stats().dumps, dumps + 1);
    assert_eq!(world.mirror(1).stats().followed, 2 * 39);
    world.send(1, 1, 10);
    world.send(1, 39, 10);
}

#[test]
fn what_the_standby_wrote_last_is_not_read_again() {
    let mut world = World::in_use(Mode::Full);
    let peer = world.traffic(0, 300, 1);
    world.run_for(1500);
    let (reads, dumps) = (world.kernels[1].reads(), world.mirror(1).stats().dumps);
    world.traffic(0, 3000, peer);
    world.crash(0);
    world.run_until("takeover", |world| world.is_active(1));
    assert_eq!(world.kernels[1].reads(), reads);
    // The one that follows, once the kernel carries packets.
    assert_eq!(world.mirror(1).stats().dumps, dumps + 1);
    world.send(1, 1, 10);
}

#[test]
fn packets_that_a_standby_sent_by_mistake_are_not_sent_over() {
    // The kernel tells of a few only when its timer fires.
    for strays in [1, 500, 5000] {
        for (packets, pause) in [(0, 0), (1, 100), (300, 1), (1000, 100), (3000, 1100)] {
            let mut world = World::in_use(Mode::Counters);
            world.traffic(0, 100, 1);
            world.run_for(1100);
            world.send(1, 1, strays);
            world.send(0, 1, packets);
            world.run_for(pause);
            world.crash(0);
            world.run_until("takeover", |world| world.is_active(1));
            world.send(1, 1, 10);
        }
    }
}

#[test]
fn policies_come_with_the_takeover_and_not_before() {
    let mut world = World::in_use(Mode::Full);
    let mut policy = xfrm::Policy::default();
    policy.info.dir = xfrm::dir::OUT;
    policy.info.sel.family = xfrm::Family::INET;
    policy
        .attributes
        .push(xfrm::Attribute::Templates(vec![xfrm::Template {
            family: xfrm::Family::INET,
            saddr: inbound_id(0).destination.into(),
            mode: xfrm::mode::TUNNEL,
            ..xfrm::Template::default()
        }]));
    world.kernels[0].install_policy(policy.clone());
    world.run_for(1500);
    // With it, the standby could send.
    assert_eq!(world.kernels[1].policies_held(), 0);
    world.crash(0);
    world.run_until("takeover", |world| world.is_active(1));
    assert_eq!(world.kernels[1].policies_held(), 1);
    assert!(world.config.filter.takes_policy(&policy));
}

#[test]
fn a_switchover_by_command_loses_nothing() {
    let mut world = World::in_use(Mode::Full);
    let peer = world.traffic(0, 300, 1);
    // The addresses have left; what the kernel accepted last is read.
    world.settle(0);
    world.run_for(200);
    world.pair.switchover();
    world.run_until("takeover", |world| world.is_active(1));
    assert!(world.receive(1, 1, peer), "the next packet of the peer");
    world.send(1, 1, 10);
    world.run_for(50);
    assert_eq!(
        world.kernels[0].held(outbound_id(1)).unwrap().record.id,
        outbound_id(1)
    );
}

#[test]
fn what_a_fenced_unit_may_have_used_is_skipped() {
    let mut world = World::in_use(Mode::Full);
    world.traffic(0, 300, 1);
    // Isolated, the other one takes over and sends; then its power is cut.
    world.pair.cut();
    world.run_until("two actives", |world| {
        world.is_active(0) && world.is_active(1)
    });
    world.send(1, 1, 5000);
    world.crash(1);
    world.run_for(10);
    world.pair.peer_fenced(0);
    world.settle(0);
    // Far beyond the budget, through all that the other one had.
    world.send(0, 1, 3 * world.config.budget);
    world.run_for(100);
    assert_eq!(world.mirror(0).stats().beyond_budget, 0);
}

#[test]
fn the_standby_has_the_counters_before_the_failure() {
    let mut world = World::in_use(Mode::Counters);
    world.traffic(0, 300, 1);
    world.run_for(1100);
    let held = world.kernels[1].held(outbound_id(1)).unwrap();
    let sent = world.kernels[0].held(outbound_id(1)).unwrap();
    assert!(held.replay.outbound > sent.replay.outbound + world.config.budget - 1);
    // Lifetimes too; the active unit tells of bytes with its numbers, at least once in a MiB.
    assert!(held.usage.bytes > 0, "{:?}", held.usage);
    let age = |usage: Usage| world.pair.now.as_millis() / 1000 + UNIX_S - usage.added_unix_s;
    assert!(age(held.usage).abs_diff(age(sent.usage)) <= 1);
}

#[test]
fn an_sa_that_is_mirrored_late_begins_where_it_is() {
    let mut world = World::new(config(Mode::Counters));
    world.crash(1);
    // The mirror of the active unit dies; the kernel goes on, far beyond J, and it returns.
    world.install(&[0], 1);
    world.run_for(50);
    world.mirrors[0] = None;
    world.pair.crash(0);
    let beyond = world.config.budget * 2;
    world.send(0, 1, beyond);
    world.boot(0);
    world.run_until("active", |world| world.is_active(0));
    world.boot(1);
    world.install(&[1], 1);
    world.run_until("whole", World::is_whole);
    world.crash(0);
    world.run_until("takeover", |world| world.is_active(1));
    world.send(1, 1, 100);
}

#[test]
fn an_sa_that_comes_late_after_a_takeover_does_not_begin_at_0() {
    let mut world = World::in_use(Mode::Counters);
    world.traffic(0, 100, 1);
    world.kernels[1].delete(outbound_id(1));
    world.run_for(20);
    world.crash(0);
    world.run_until("takeover", |world| world.is_active(1));
    // Only now the IKE daemon of the new unit installs it.
    world.kernels[1].install(prepared(crate::harness::outbound(1)));
    world.step();
    world.send(1, 1, 10);
}

#[test]
fn an_sa_that_only_the_ike_daemon_told_of_jumps_too() {
    let mut world = World::in_use(Mode::Counters);
    world.traffic(0, 50, 1);
    // The IKE daemons install a new SA on both units; it is used, and its unit dies before the mirror
    // has told of it.
    world.pair.hold = true;
    world.install(&[0, 1], 2);
    world.step();
    world.send(0, 2, 50);
    world.crash(0);
    world.pair.hold = false;
    world.run_until("takeover", |world| world.is_active(1));
    assert!(world.mirror(1).sad().record(&outbound_id(1)).is_some());
    world.send(1, 2, 50);
}

#[test]
fn an_sa_that_was_set_back_is_set_forward() {
    let mut world = World::in_use(Mode::Counters);
    world.traffic(0, 300, 1);
    world.kernels[0].rewind(outbound_id(1));
    world.run_for(5);
    world.send(0, 1, 10);
}

#[test]
fn rekeyed_and_deleted_sas_follow() {
    let mut world = World::in_use(Mode::Full);
    world.install(&[0], 2);
    world.kernels[0].delete(outbound_id(1));
    world.kernels[0].delete(inbound_id(1));
    world.run_for(1200);
    assert!(world.kernels[1].held(outbound_id(1)).is_none());
    assert!(world.kernels[1].held(outbound_id(2)).is_some());
    // The same SPI with other keys is another SA: its numbers begin anew, on both.
    traffic_on(&mut world, 2);
    let mut other = prepared(inbound(2));
    other.keys = ha_ipsec::record::SaKeys::new(&[9; 20], &[]);
    world.kernels[0].delete(inbound_id(2));
    world.kernels[0].install(other.clone());
    world.run_for(1200);
    let held = world.kernels[1].held(inbound_id(2)).unwrap();
    assert_eq!(held.record.keys, other.keys);
    assert!(held.replay.inbound < 10, "{}", held.replay.inbound);
}

fn traffic_on(world: &mut World, sa: u32) {
    for number in 1..500 {
        world.receive(0, sa, number);
    }
    world.run_for(50);
}

#[test]
fn lost_events_are_made_up_for() {
    let mut world = World::in_use(Mode::Full);
    for number in 2..200 {
        world.install(&[0], number);
    }
    world.run_for(1500);
    assert_eq!(world.kernels[1].len(), 2 * 199);
    assert!(world.mirror(0).stats().lost > 0);
}

#[test]
fn a_kernel_that_is_broken_is_tried_again() {
    let mut world = World::in_use(Mode::Full);
    world.kernels[1].break_down(true);
    world.install(&[0], 2);
    world.run_for(50);
    let clocks = ha_ipsec::linux::mirror::Clocks {
        now: world.pair.now + core::time::Duration::from_secs(2),
        unix_s: 1,
    };
    let error = world.mirrors[1].as_mut().unwrap().poll(clocks).unwrap_err();
    assert!(error.to_string().contains("broken by the test"), "{error}");
    world.kernels[1].break_down(false);
    world.run_for(4000);
    assert_eq!(world.kernels[1].len(), 4);
}

#[test]
fn a_demoted_unit_clears_its_kernel_in_full_mode_alone() {
    for (mode, removed) in [(Mode::Counters, 0), (Mode::Full, 2)] {
        let mut world = World::in_use(mode);
        // Isolated, the other one takes over; then this one finds out.
        world.pair.cut();
        world.run_until("two actives", |world| {
            world.is_active(0) && world.is_active(1)
        });
        world.pair.connect();
        world.run_until("one active", |world| {
            world.is_active(0) != world.is_active(1)
        });
        let demoted = usize::from(world.is_active(0));
        assert_eq!(world.mirror(demoted).stats().removed, removed, "{mode:?}");
        assert!(world.kernels[demoted].len() <= 2);
    }
}

#[test]
fn under_resume_nothing_is_lost() {
    let mut settings = config(Mode::Full);
    settings.policy = InboundPolicy::Resume;
    let mut world = World::new(settings);
    world.install(&[0], 1);
    world.run_for(100);
    let peer = world.traffic(0, 300, 1);
    // The last event and the last batch.
    world.run_for(1500);
    world.crash(0);
    world.run_until("takeover", |world| world.is_active(1));
    assert!(world.receive(1, 1, peer));
}

#[test]
fn busy_sas_are_told_about_less_often() {
    let mut world = World::in_use(Mode::Counters);
    assert!(world.kernels[0].threshold(outbound_id(1)) <= 2);
    world.traffic(0, 500, 1);
    let threshold = world.kernels[0].threshold(outbound_id(1));
    // 3000 packets per second, 20 ms.
    assert!((30..=120).contains(&threshold), "{threshold}");
}

#[test]
fn an_sa_that_is_reported_seldom_is_not_quiet_in_between() {
    let mut settings = config(Mode::Counters);
    settings.event_interval = core::time::Duration::from_millis(200);
    settings.max_event_packets = 1000;
    let mut world = World::new(settings);
    world.install(&[0, 1], 1);
    world.run_for(100);
    let mut peer = world.traffic(0, 2000, 1);
    let mut above = 0;
    for _ in 0..1000 {
        peer = world.traffic(0, 1, peer);
        let told = world.mirror(1).sad().counters(&inbound_id(1)).unwrap();
        let accepted = world.kernels[0].held(inbound_id(1)).unwrap();
        above += u32::from(accepted.replay.inbound > told.image().unwrap().top());
    }
    // So many milliseconds the kernel was above what the standby knew; 575 with ceilings that close.
    assert!(above <= 300, "{above}");
}

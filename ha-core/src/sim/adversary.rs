//! What goes wrong.

use core::time::Duration;
use std::sync::atomic::Ordering;

use super::agenda::Due;
use super::config::Fault;
use super::network::PATHS;
use super::unit::Unit;
use super::world::{GROUP, World};
use crate::redundancy::RfState;

impl World {
    /// The time for a fault has come.
    pub(crate) fn fault(&mut self) {
        if self.calm {
            return;
        }
        if let Some(fault) = self.config.adversity.draw(&mut self.rng) {
            self.inflict(fault);
        }
        let mean = u64::try_from(self.config.adversity.interval.as_micros()).unwrap_or(u64::MAX);
        let at = self.now + self.rng.micros(1..=2 * mean);
        self.agenda.add(at, Due::Fault);
    }

    fn inflict(&mut self, fault: Fault) {
        match fault {
            Fault::Crash => self.crash(),
            Fault::Stop => self.stop(),
            Fault::Pause => self.pause(),
            Fault::Cut => self.cut([true; 2]),
            Fault::OneWayCut => {
                let from = self.rng.index(2);
                self.cut([from == 0, from == 1]);
            }
            Fault::Reset => self.reset(),
            Fault::Switchover => self.switchover(false),
            Fault::ForcedSwitchover => self.switchover(true),
            Fault::Resync => self.resync(),
            Fault::Maintenance => self.maintain(),
            Fault::ApplyFailure => self.fail_to_apply(),
            Fault::Corruption => self.corrupt(),
            Fault::Burst => self.burst(),
        }
    }

    /// The active unit more often than the other.
    fn victim(&mut self) -> usize {
        let any = self.rng.index(2);
        self.active()
            .filter(|_| self.rng.chance(500))
            .unwrap_or(any)
    }

    fn crash(&mut self) {
        let unit = self.victim();
        if self.units[unit].node.is_none() {
            return;
        }
        let told = self.rng.chance(500);
        self.trace(Some(unit), || {
            format!("crashes; its links are reset: {told}")
        });
        self.coverage.crashes += 1;
        self.kill(unit);
        self.network.crash(unit, told, self.now, &mut self.agenda);
        self.restart_later(unit);
        self.fence_later(unit);
    }

    /// Not drawn at random: what else a seed stands for stays the same.
    fn fence_later(&mut self, unit: usize) {
        let wait = Duration::from_millis(100 * (1 + self.coverage.crashes * 7 % 50));
        self.agenda.add(self.now + wait, Due::Fence { unit });
    }

    /// If a unit's process is gone, its peer is told so.
    pub(crate) fn fence(&mut self, unit: usize) {
        if self.units[unit].node.is_some() {
            return;
        }
        let mut done = false;
        self.run(1 - unit, |node, now| {
            done = node.peer_fenced(GROUP, now).is_ok();
        });
        self.trace(Some(1 - unit), || {
            format!("is told that the other unit is fenced: {done}")
        });
        self.coverage.authority_fencings += u64::from(done);
    }

    fn stop(&mut self) {
        let unit = self.victim();
        if self.units[unit].node.is_none() || self.units[unit].paused {
            return;
        }
        self.trace(Some(unit), || "is stopped in order".to_owned());
        self.coverage.stops += 1;
        self.run(unit, |node, _| node.stop("end of work"));
        self.kill(unit);
        self.restart_later(unit);
    }

    fn kill(&mut self, unit: usize) {
        let this = &mut self.units[unit];
        *this = Unit {
            epoch: this.epoch,
            before: this.before,
            ..Unit::new(this.clock)
        };
        self.happened.changed[unit] = true;
    }

    fn restart_later(&mut self, unit: usize) {
        let at = self.now + self.rng.millis(20..=6_000);
        self.agenda.add(at, Due::Start { unit });
    }

    fn pause(&mut self) {
        let unit = self.victim();
        let detection = self.config.keepalive.detection_time();
        let detection = u64::try_from(detection.as_micros()).unwrap_or(u64::MAX);
        let span = if self.rng.chance(500) {
            self.rng.micros(1_000..=detection)
        } else {
            self.rng.micros(detection..=10 * detection)
        };
        self.pause_for(unit, span);
    }

    fn pause_for(&mut self, unit: usize, span: Duration) {
        if self.units[unit].node.is_none() || self.units[unit].paused {
            return;
        }
        self.trace(Some(unit), || format!("stands still for {span:?}"));
        self.coverage.pauses += 1;
        self.units[unit].paused = true;
        self.units[unit].half_paused = self.traffic_rng.chance(300);
        self.agenda.add(self.now + span, Due::Wake { unit });
    }

    fn cut(&mut self, from: [bool; 2]) {
        let until = self.now + self.rng.millis(30..=5_000);
        let all = self.rng.chance(600);
        let one = self.rng.index(PATHS);
        for path in (0..PATHS).filter(|path| all || *path == one) {
            self.trace(None, || {
                format!("path {path} carries nothing from {from:?} until {until}")
            });
            self.network
                .cut(path, from, (self.now, until), &mut self.agenda);
        }
        match from {
            [true, true] => self.coverage.partitions += u64::from(all),
            _ => self.coverage.one_way_cuts += 1,
        }
    }

    fn reset(&mut self) {
        let unit = self.rng.index(2);
        let open = self.network.open_at(unit);
        if let Some(conn) = self.rng.pick(&open) {
            self.trace(None, || format!("connection {conn} breaks"));
            self.coverage.resets += 1;
            self.network.reset(conn, self.now, &mut self.agenda);
        }
    }

    fn switchover(&mut self, force: bool) {
        let Some(unit) = self.active() else { return };
        let mut done = false;
        self.run(unit, |node, now| {
            done = node.switchover(GROUP, force, now).is_ok();
        });
        self.trace(Some(unit), || {
            format!("is told to switch over (forced: {force}): {done}")
        });
        self.coverage.switchovers += u64::from(done && !force);
        self.coverage.forced_switchovers += u64::from(done && force);
        self.forced |= done && force;
    }

    fn standby(&self) -> Option<usize> {
        let unit = 1 - self.active()?;
        self.units[unit].stand.map(|_| unit)
    }

    fn resync(&mut self) {
        let Some(unit) = self.standby() else { return };
        let clients = self.units[unit].clients.clone();
        let client = self.rng.pick(&clients).filter(|_| self.rng.chance(500));
        self.trace(Some(unit), || {
            format!("is told to ask again for {client:?}")
        });
        self.run(unit, |node, now| {
            let _ = node.resync(GROUP, client, now);
        });
    }

    fn maintain(&mut self) {
        let unit = self.rng.index(2);
        self.maintenance(unit, true);
        let at = self.now + self.rng.millis(100..=4_000);
        self.agenda.add(at, Due::MaintenanceOver { unit });
    }

    fn fail_to_apply(&mut self) {
        let Some(unit) = self.standby() else { return };
        self.trace(Some(unit), || "will fail to apply".to_owned());
        let times = u32::try_from(self.rng.range(1..=3)).unwrap_or(1);
        self.units[unit].failures.store(times, Ordering::Relaxed);
    }

    fn corrupt(&mut self) {
        let hot = |unit: &Unit| {
            unit.stand
                .is_some_and(|s| s.state == RfState::StandbyHot && !s.active)
        };
        let Some(unit) = self.standby().filter(|unit| hot(&self.units[*unit])) else {
            return;
        };
        if let Some(register) = self.workload.corrupt(unit, &mut self.rng) {
            self.coverage.corruptions += 1;
            self.happened.changed[unit] = true;
            self.trace(Some(unit), || {
                format!("register {register} changes by itself")
            });
        }
    }

    fn burst(&mut self) {
        let Some(active) = self.active() else { return };
        if self.rng.chance(700) {
            let span = self.rng.millis(100..=2_000);
            self.pause_for(1 - active, span);
        }
        let writes = u32::try_from(self.rng.range(50..=400)).unwrap_or(50);
        self.trace(Some(active), || format!("writes {writes} times at once"));
        self.coverage.bursts += 1;
        self.write(active, writes);
    }
}

//! Any bytes as a datagram of NETLINK_XFRM.
//!
//! What decodes is written again and decodes to the same; an SA that has a record can be installed
//! from it, and has the same record then; a state of numbers that was read can be written, and never
//! opens what it refused.

use std::net::IpAddr;

use ha_ipsec::linux::convert::{Export, Imported, Machine, SaHandle, copy, export, import};
use ha_ipsec::linux::replay::{ReplayForm, ReplayState};
use ha_ipsec::linux::xfrm::{
    Buffer, Family, Message, Packet, Packets, Policy, Sa, attr, state_flag,
};
use ha_ipsec::record::{Direction, IpsecSa};
use ha_ipsec::replay::WindowSize;

/// One input: a datagram.
pub fn run(bytes: &[u8]) {
    course(bytes);
}

/// What was in a datagram.
#[derive(Clone, Copy, Debug, Default)]
pub struct Course {
    pub messages: usize,
    pub damaged: usize,
    pub records: usize,
}

/// Runs one input, and says how far it got.
pub fn course(bytes: &[u8]) -> Course {
    let mut course = Course::default();
    let (mut sas, mut policies) = (Vec::new(), Vec::new());
    for packet in Packets::new(bytes) {
        let Ok(packet) = packet else {
            course.damaged += 1;
            continue;
        };
        course.messages += 1;
        rewrite(&packet);
        match packet.message {
            Message::NewSa(sa) | Message::UpdateSa(sa) => sas.push(sa),
            Message::NewPolicy(policy) => policies.push(policy),
            Message::NewAsyncEvent(event) => {
                for form in [
                    ReplayForm::for_window(64, true),
                    ReplayForm::for_window(32, false),
                ] {
                    if let Some(state) = ReplayState::from_attributes(&event.attributes, form) {
                        rewrite_numbers(&state, form);
                    }
                }
            }
            _ => {}
        }
    }
    // Each SA costs a walk through the policies.
    policies.truncate(8);
    course.records = sas.iter().filter(|sa| convert(sa, &policies)).count();
    course
}

fn rewrite(packet: &Packet) {
    let mut out = Buffer::default();
    packet
        .encode(&mut out)
        .expect("what was read can be written");
    let mut again = Packets::new(out.as_bytes());
    assert_eq!(again.next().as_ref(), Some(&Ok(packet.clone())));
    assert!(again.next().is_none());
    let text = format!("{packet:?}");
    assert!(!text.is_empty());
}

/// Whether it has a record.
fn convert(sa: &Sa, policies: &[Policy]) -> bool {
    if let Some(state) = ReplayState::of(sa) {
        rewrite_numbers(&state, ReplayForm::of(sa));
    }
    let handle = SaHandle::of(sa);
    assert_eq!(SaHandle::of(&copy(sa)), handle);
    let with_policies = import(sa, &Anywhere, policies);
    let Ok(was) = import(sa, &Anywhere, &[]) else {
        return false;
    };
    assert!(with_policies.is_ok() || !policies.is_empty());
    let Ok(installed) = export(&was.sa, &options(sa, &was), &Anywhere) else {
        return true;
    };
    let again = import(&as_shown(installed), &Anywhere, &[]).expect("the record had an SA");
    assert_eq!(without_window(again.sa), without_window(was.sa));
    assert_eq!(again.own_selector, was.own_selector);
    true
}

fn options(sa: &Sa, was: &Imported) -> Export {
    let mut options = Export::default();
    options.replay = Some(was.replay.clone());
    options.usage = Some(was.usage);
    options.selector = true;
    options.direction = sa.attributes.direction().is_some();
    options
}

/// What the kernel does with an SA that is installed.
fn as_shown(mut sa: Sa) -> Sa {
    if let Some(usage) = sa.attributes.lifetime_current().copied() {
        sa.info.curlft = usage;
        sa.attributes.remove(attr::LTIME_VAL);
    }
    if sa.info.sel.family == Family::UNSPEC && sa.info.flags & state_flag::AF_UNSPEC == 0 {
        sa.info.sel.family = sa.info.family;
    }
    sa
}

/// An SA that sends has one that means nothing.
fn without_window(mut sa: IpsecSa) -> IpsecSa {
    if sa.direction == Direction::Outbound {
        sa.window = WindowSize::default();
    }
    sa
}

fn rewrite_numbers(state: &ReplayState, form: ReplayForm) {
    let Ok(attribute) = state.attribute(form) else {
        return;
    };
    let attributes = [attribute].into_iter().collect();
    let again = ReplayState::from_attributes(&attributes, form).expect("it is there");
    assert!(again.is_ahead_of(state) && again.merge(state).is_ahead_of(state));
}

/// A machine whose addresses end with a low number, as in the captures.
struct Anywhere;

impl Machine for Anywhere {
    fn is_local(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => address.octets()[3] < 4,
            IpAddr::V6(address) => address.octets()[15] < 4,
        }
    }

    fn device_name(&self, index: i32) -> Option<String> {
        (0..10).contains(&index).then(|| format!("eth{index}"))
    }

    fn device_index(&self, name: &str) -> Option<i32> {
        name.strip_prefix("eth")?.parse().ok()
    }
}

/// What a Linux 6.1 kernel sent, with made-up keys.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    macro_rules! captured {
        ($($name:literal)*) => {
            vec![$((
                $name,
                include_bytes!(concat!("../../../ha-ipsec/tests/captured/", $name)).to_vec(),
            )),*]
        };
    }
    captured! {
        "bad_algo"
        "dump_policy"
        "dump_sa"
        "event_async_event"
        "event_deleted_policy"
        "event_deleted_sa"
        "event_expire_hard"
        "event_expire_soft"
        "event_flushed_sa"
        "event_new_policy"
        "event_new_sa"
        "event_policy_expire_soft"
        "get_ae"
        "get_sa"
        "get_sa_missing"
        "sad_info"
        "set_ae_ack"
    }
}

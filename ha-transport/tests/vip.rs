//! Virtual addresses on real interfaces, in a network namespace of their own.
#![cfg(all(feature = "vip", target_os = "linux"))]

use std::process::Command;
use std::time::Duration;

use ha_core::time::Time;
use ha_transport::vip::{VipError, VirtualAddress, VirtualAddresses};
use pnet_datalink::{Channel, Config, DataLinkReceiver};

/// Runs a test again in a new network namespace with a cable `ours` – `theirs`; without the privilege
/// for one it runs nothing.
fn in_namespace(name: &str, test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        ip("link add ours type veth peer name theirs");
        ip("link set ours up");
        ip("link set theirs up");
        return test();
    }
    let inside = Command::new("unshare")
        .arg("--net")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inside.stderr);
    if said.contains("Operation not permitted") {
        eprintln!("{name}: not run, since a network namespace takes root");
        return;
    }
    assert!(
        inside.status.success(),
        "{}{said}",
        String::from_utf8_lossy(&inside.stdout)
    );
}

const INSIDE: &str = "VIP_TEST_INSIDE";

fn ip(words: &str) -> String {
    let output = Command::new("ip").args(words.split(' ')).output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {words}: {why}");
    String::from_utf8(output.stdout).unwrap()
}

fn virtual_addresses() -> VirtualAddresses {
    let address = |text| VirtualAddress::parse("ours", text).unwrap();
    let both = vec![address("192.0.2.10/24"), address("2001:db8::10/64")];
    VirtualAddresses::new(both).unwrap()
}

fn held() -> [bool; 2] {
    let text = ip("-o addr show dev ours");
    ["192.0.2.10/24", "2001:db8::10/64"].map(|address| text.contains(address))
}

fn listen() -> Box<dyn DataLinkReceiver> {
    let interfaces = pnet_datalink::interfaces();
    let theirs = interfaces.iter().find(|it| it.name == "theirs").unwrap();
    let config = Config {
        read_timeout: Some(Duration::from_secs(10)),
        ..Config::default()
    };
    match pnet_datalink::channel(theirs, config).unwrap() {
        Channel::Ethernet(_, receiver) => receiver,
        _ => panic!("a veth has Ethernet framing"),
    }
}

/// A frame, and how it is known.
type Wanted = (&'static str, fn(&[u8]) -> bool);

/// Reads frames until each of these was seen.
fn await_frames(receiver: &mut dyn DataLinkReceiver, wanted: &[Wanted]) {
    let mut missing: Vec<_> = wanted.iter().collect();
    while !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|(name, _)| name).collect();
        let frame = receiver
            .next()
            .unwrap_or_else(|_| panic!("never came: {names:?}"));
        missing.retain(|(_, is_it)| !is_it(frame));
    }
}

fn arp(frame: &[u8], operation: u8) -> bool {
    frame[12..14] == [8, 6] && frame[21] == operation && frame[28..32] == [192, 0, 2, 10]
}

/// ICMPv6 type 136 with the override flag, for the address.
fn advertisement(frame: &[u8]) -> bool {
    frame.len() >= 86
        && frame[12..14] == [0x86, 0xdd]
        && frame[54] == 136
        && frame[58] & 0x20 != 0
        && frame[62..78]
            == "2001:db8::10"
                .parse::<std::net::Ipv6Addr>()
                .unwrap()
                .octets()
}

#[test]
fn addresses_come_are_announced_and_go() {
    in_namespace("addresses_come_are_announced_and_go", || {
        let mut addresses = virtual_addresses();
        let mut wire = listen();
        addresses.take(Time::ZERO).unwrap();
        assert_eq!(held(), [true, true]);
        await_frames(
            &mut *wire,
            &[
                ("ARP request", |frame| arp(frame, 1)),
                ("ARP reply", |frame| arp(frame, 2)),
                ("neighbour advertisement", advertisement),
            ],
        );
        // Once more after a while.
        addresses.tick(Time::from_millis(300)).unwrap();
        await_frames(&mut *wire, &[("ARP request", |frame| arp(frame, 1))]);
        // Taking twice changes nothing; what is removed comes back.
        addresses.take(Time::from_millis(400)).unwrap();
        ip("addr del 192.0.2.10/24 dev ours");
        addresses.tick(Time::from_millis(5000)).unwrap();
        assert_eq!(held(), [true, true]);
        addresses.release().unwrap();
        assert_eq!(held(), [false, false]);
        addresses.tick(Time::from_millis(9000)).unwrap();
        assert_eq!(held(), [false, false], "released is released");
    });
}

#[test]
fn what_a_former_life_left_goes() {
    in_namespace("what_a_former_life_left_goes", || {
        let mut former = virtual_addresses();
        former.take(Time::ZERO).unwrap();
        // It crashes.
        drop(former);
        assert_eq!(held(), [true, true]);
        assert_eq!(virtual_addresses().clean_up().unwrap(), 2);
        assert_eq!(held(), [false, false]);
        assert_eq!(virtual_addresses().clean_up().unwrap(), 0);
    });
}

#[test]
fn somebody_elses_address_stays() {
    in_namespace("somebody_elses_address_stays", || {
        ip("addr add 192.0.2.10/24 dev ours");
        let mut addresses = virtual_addresses();
        let error = addresses.clean_up().unwrap_err();
        assert!(matches!(error, VipError::InUse { .. }), "{error}");
        let error = addresses.take(Time::ZERO).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("was not put there by this program"),
            "{error}"
        );
        assert_eq!(held(), [true, true], "the other one is here nevertheless");
        addresses.release().unwrap();
        assert_eq!(held(), [true, false]);
    });
}

#[test]
fn what_is_released_is_exactly_what_was_added() {
    in_namespace("what_is_released_is_exactly_what_was_added", || {
        // The same address with another prefix, somebody else's; and secondaries of our subnet.
        ip("addr add 192.0.2.10/32 dev ours");
        let mut addresses = virtual_addresses();
        addresses.take(Time::ZERO).unwrap();
        ip("addr add 192.0.2.1/24 dev ours");
        ip("addr add 192.0.2.10/25 dev theirs");
        assert_eq!(held(), [true, true]);
        addresses.release().unwrap();
        assert_eq!(held(), [false, false]);
        let left = ip("-o addr show");
        for stays in ["192.0.2.10/32", "192.0.2.1/24", "192.0.2.10/25"] {
            assert!(left.contains(stays), "{stays} is gone:\n{left}");
        }
    });
}

#[test]
fn many_addresses_come_at_once() {
    in_namespace("many_addresses_come_at_once", || {
        let many =
            (0..256).map(|n| VirtualAddress::parse("ours", &format!("10.9.0.{n}/32")).unwrap());
        let mut addresses = VirtualAddresses::new(many.collect()).unwrap();
        addresses.take(Time::ZERO).unwrap();
        assert_eq!(ip("-o addr show dev ours").matches("10.9.0.").count(), 256);
        addresses.release().unwrap();
        assert_eq!(ip("-o addr show dev ours").matches("10.9.0.").count(), 0);
    });
}

#[test]
fn an_interface_that_is_missing_is_named_and_awaited() {
    in_namespace("an_interface_that_is_missing_is_named_and_awaited", || {
        ip("link del ours");
        let mut addresses = virtual_addresses();
        let error = addresses.take(Time::ZERO).unwrap_err();
        assert!(error.to_string().contains("no interface ours"), "{error}");
        ip("link add ours type veth peer name theirs");
        ip("link set ours up");
        addresses.tick(Time::from_millis(2000)).unwrap();
        assert_eq!(held(), [true, true]);
    });
}

#[test]
fn an_address_twice_and_too_many_are_refused() {
    let one = VirtualAddress::parse("eth0", "192.0.2.10/24").unwrap();
    let twice = VirtualAddresses::new(vec![one.clone(), one]);
    assert!(matches!(twice, Err(VipError::Twice(_))));
    let many = (0..=1024_u32).map(|number| VirtualAddress {
        interface: "eth0".to_owned(),
        address: std::net::Ipv4Addr::from_bits(number + 1).into(),
        prefix_bits: 32,
    });
    let many = VirtualAddresses::new(many.collect());
    assert!(matches!(many, Err(VipError::TooMany { got: 1025, .. })));
}

//! Routes in the kernel of this machine, each test in a network namespace of its own.
#![cfg(all(feature = "linux", target_os = "linux"))]

mod namespace;

use std::collections::BTreeSet;
use std::process::Command;

use ha_ipsec::linux::route::{Prefix, RouteConfig, RouteError, Routes};
use namespace::in_namespace;

fn ip(words: &str) -> String {
    let output = Command::new("ip").args(words.split(' ')).output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {words}: {why}");
    String::from_utf8(output.stdout).unwrap()
}

fn cable() {
    ip("link add outer type veth peer name peer");
    ip("link set outer up");
    ip("link set peer up");
    ip("addr add 192.0.2.10/24 dev outer");
    ip("addr add 2001:db8::10/64 dev outer nodad");
}

fn config() -> RouteConfig {
    let mut config = RouteConfig::new("outer");
    config.via_v4 = Some("192.0.2.20".parse().unwrap());
    config.via_v6 = Some("2001:db8::20".parse().unwrap());
    config.metric = 50;
    config
}

fn set(prefixes: &[&str]) -> BTreeSet<Prefix> {
    let prefix = |text: &&str| {
        let (address, bits) = text.split_once('/').unwrap();
        Prefix::new(address.parse().unwrap(), bits.parse().unwrap())
    };
    prefixes.iter().map(prefix).collect()
}

/// Ours, as iproute2 shows them.
fn shown() -> Vec<String> {
    let text = ip("route show proto 242") + &ip("-6 route show proto 242");
    text.lines()
        .map(|line| line.split(' ').next().unwrap().to_owned())
        .collect()
}

#[test]
fn routes_follow_the_set_and_go_with_the_role() {
    in_namespace("routes_follow_the_set_and_go_with_the_role", || {
        cable();
        let mut routes = Routes::open(config()).unwrap();
        let first = set(&["10.2.0.0/24", "10.3.0.0/16", "fd02::/64"]);
        assert_eq!(routes.sync(&first).unwrap(), 3);
        assert_eq!(shown(), ["10.2.0.0/24", "10.3.0.0/16", "fd02::/64"]);
        let via = ip("route show 10.2.0.0/24");
        assert!(
            via.contains("via 192.0.2.20 dev outer") && via.contains("metric 50"),
            "{via}"
        );
        assert_eq!(routes.sync(&first).unwrap(), 0, "a rekey changes nothing");
        assert_eq!(
            routes.sync(&set(&["10.2.0.0/24", "10.4.0.1/32"])).unwrap(),
            3
        );
        assert_eq!(shown(), ["10.2.0.0/24", "10.4.0.1"]);
        assert_eq!(routes.clear().unwrap(), 2);
        assert_eq!(shown(), [""; 0]);
    });
}

#[test]
fn what_a_former_life_left_is_replaced() {
    in_namespace("what_a_former_life_left_is_replaced", || {
        cable();
        let mut former = Routes::open(config()).unwrap();
        former.sync(&set(&["10.2.0.0/24", "fd02::/64"])).unwrap();
        drop(former);
        let mut routes = Routes::open(config()).unwrap();
        assert_eq!(routes.held(), set(&["10.2.0.0/24", "fd02::/64"]));
        assert_eq!(routes.sync(&set(&["fd02::/64"])).unwrap(), 1);
        assert_eq!(shown(), ["fd02::/64"]);
    });
}

#[test]
fn routes_that_were_lost_come_back_and_those_of_other_settings_go() {
    in_namespace(
        "routes_that_were_lost_come_back_and_those_of_other_settings_go",
        || {
            cable();
            let wanted = set(&["10.2.0.0/24", "10.3.0.0/16", "fd02::/64"]);
            let mut routes = Routes::open(config()).unwrap();
            routes.sync(&wanted).unwrap();
            ip("route del 10.2.0.0/24 metric 50");
            routes.refresh().unwrap();
            assert_eq!(routes.sync(&wanted).unwrap(), 1);
            assert_eq!(shown(), ["10.2.0.0/24", "10.3.0.0/16", "fd02::/64"]);
            // Another metric and another table: what the former settings made goes.
            let other = RouteConfig {
                metric: 0,
                table: 300,
                ..config()
            };
            let mut routes = Routes::open(other).unwrap();
            routes.sync(&wanted).unwrap();
            assert_eq!(shown(), [""; 0], "the main table");
            let other = ip("route show table 300") + &ip("-6 route show table 300");
            assert_eq!(other.lines().count(), 3, "{other}");
            routes.refresh().unwrap();
            assert_eq!(routes.sync(&wanted).unwrap(), 0);
            assert_eq!(routes.clear().unwrap(), 3);
        },
    );
}

#[test]
fn somebody_elses_route_stays() {
    in_namespace("somebody_elses_route_stays", || {
        cable();
        ip("route add 10.2.0.0/24 dev outer metric 50");
        let mut routes = Routes::open(config()).unwrap();
        let error = routes
            .sync(&set(&["10.2.0.0/24", "10.3.0.0/16"]))
            .unwrap_err();
        assert!(
            matches!(error, RouteError::Exists { more: 0, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("10.2.0.0/24"), "{error}");
        assert_eq!(shown(), ["10.3.0.0/16"]);
        routes.clear().unwrap();
        assert!(
            ip("route show 10.2.0.0/24").contains("outer"),
            "it is still there"
        );
    });
}

#[test]
fn default_routes_and_missing_interfaces_are_refused() {
    in_namespace("default_routes_and_missing_interfaces_are_refused", || {
        cable();
        let mut routes = Routes::open(config()).unwrap();
        assert_eq!(routes.sync(&set(&["0.0.0.0/0", "::/0"])).unwrap(), 0);
        let allowed = RouteConfig {
            default_route: true,
            ..config()
        };
        let mut routes = Routes::open(allowed).unwrap();
        assert_eq!(routes.sync(&set(&["0.0.0.0/0"])).unwrap(), 1);
        assert_eq!(routes.clear().unwrap(), 1);
        let elsewhere = RouteConfig::new("nowhere");
        let mut routes = Routes::open(elsewhere).unwrap();
        let error = routes.sync(&set(&["10.2.0.0/24"])).unwrap_err();
        assert_eq!(error, RouteError::NoInterface("nowhere".to_owned()));
    });
}

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic with the place is what is wanted"
)]

use super::*;
use crate::checkpoint::{CommitPolicy, FlushPolicy, StateTable};
use crate::scheme::Static;

fn config() -> NodeConfig {
    NodeConfig::new(UnitId::new(0), 7)
}

fn group(clients: Vec<Arc<dyn CheckpointClient>>) -> GroupConfig {
    let shared = Shared::new(CommitPolicy::default());
    let scheme = Box::new(Static::new(crate::scheme::Role::Active));
    let mut group = GroupConfig::new(GroupId::new(1), scheme, shared);
    group.clients = clients;
    group
}

fn table(id: u16) -> Arc<dyn CheckpointClient> {
    StateTable::<u8, u8>::builder(ClientId::new(id), "table")
        .build()
        .unwrap()
        .client()
}

#[test]
fn defaults_are_valid() {
    assert_eq!(config().validate(), Ok(()));
    assert_eq!(config().peer, UnitId::new(1));
    assert_eq!(NodeConfig::new(UnitId::new(5), 0).peer, UnitId::new(0));
    assert_ne!(NodeConfig::new(UnitId::new(5), 0).incarnation, 0);
    assert_eq!(group(vec![table(40), table(41)]).validate(), Ok(()));
}

#[test]
fn the_units_of_a_pair_differ() {
    let mut config = config();
    config.peer = config.unit;
    let unit = config.unit;
    assert_eq!(config.validate(), Err(ConfigError::SameUnit { unit }));
}

#[test]
fn windows_have_limits() {
    for (bytes, valid) in [
        (*WINDOW_RANGE.start(), true),
        (*WINDOW_RANGE.start() - 1, false),
        (*WINDOW_RANGE.end(), true),
        (*WINDOW_RANGE.end() + 1, false),
    ] {
        let mut changes = config();
        changes.changes_window_bytes = bytes;
        assert_eq!(changes.validate().is_ok(), valid, "{bytes}");
        let mut bulk = config();
        bulk.bulk_window_bytes = bytes;
        assert_eq!(bulk.validate().is_ok(), valid, "{bytes}");
    }
}

#[test]
fn the_other_settings_have_limits() {
    let mut long = config();
    long.software = "x".repeat(limits::MAX_TEXT_BYTES);
    assert_eq!(long.validate(), Ok(()));
    long.software.push('x');
    assert!(matches!(long.validate(), Err(ConfigError::Text { .. })));
    let mut hasty = config();
    hasty.digest_interval = Duration::from_millis(10);
    assert_eq!(hasty.validate(), Ok(()));
    hasty.digest_interval = Duration::from_millis(9);
    assert_eq!(hasty.validate(), Err(ConfigError::DigestInterval));
}

#[test]
fn clients_are_told_apart_and_counted() {
    let client = ClientId::new(40);
    assert_eq!(
        group(vec![table(40), table(41), table(40)]).validate(),
        Err(ConfigError::DuplicateClient { client })
    );
    let many = |count: u16| group((1..=count).map(table).collect());
    assert_eq!(many(256).validate(), Ok(()));
    let limit = limits::MAX_CLIENTS;
    assert_eq!(
        many(257).validate(),
        Err(ConfigError::TooManyClients { limit })
    );
}

fn check(change: impl FnOnce(&mut ClientDescriptor)) -> Result<(), ConfigError> {
    let mut descriptor = table(40).descriptor().clone();
    change(&mut descriptor);
    check_descriptor(&descriptor)
}

#[test]
fn descriptors_are_checked() {
    let text = |len| "x".repeat(len);
    assert_eq!(check(|_| ()), Ok(()));
    for id in [0, 65000] {
        let client = ClientId::new(id);
        assert_eq!(
            check(|d| d.id = client),
            Err(ConfigError::ReservedClient { client })
        );
    }
    #[allow(clippy::reversed_empty_ranges, reason = "that is the fault under test")]
    let empty = 2..=1;
    assert!(matches!(
        check(|d| d.versions = empty),
        Err(ConfigError::NoVersion { .. })
    ));
    let limit = ClientDescriptor::NAME_LIMIT;
    assert_eq!(check(|d| d.name = text(limit)), Ok(()));
    assert!(check(|d| d.name = text(limit + 1)).is_err());
    assert!(check(|d| d.name.clear()).is_err());
    let limit = ClientDescriptor::CONFIG_TEXT_LIMIT;
    let item = |name, value| check(|d| d.config = vec![(text(name), text(value))]);
    assert_eq!(item(limit, limit), Ok(()));
    assert!(item(limit + 1, 1).is_err() && item(1, limit + 1).is_err());
    let limit = ClientDescriptor::CONFIG_LIMIT;
    let items = |count| check(|d| d.config = vec![(text(1), text(1)); count]);
    assert_eq!(items(limit), Ok(()));
    assert!(matches!(
        items(limit + 1),
        Err(ConfigError::TooManyItems { .. })
    ));
}

/// With no age at all the node would be due at every instant, and a driver would spin.
#[test]
fn a_flush_takes_time() {
    let aged = |max_age| {
        check(|d| {
            d.flush = FlushPolicy {
                max_age,
                ..FlushPolicy::default()
            };
        })
    };
    assert_eq!(aged(MIN_FLUSH_AGE), Ok(()));
    let client = ClientId::new(40);
    assert_eq!(aged(Duration::ZERO), Err(ConfigError::FlushAge { client }));
}

use super::*;
use crate::checkpoint::FlushPolicy;

fn client(id: u16, versions: core::ops::RangeInclusive<u16>) -> ClientDescriptor {
    ClientDescriptor {
        id: ClientId::new(id),
        name: format!("table {id}"),
        sequence: id,
        versions,
        config: Vec::new(),
        flush: FlushPolicy::default(),
        notified: false,
    }
}

fn configured(items: &[(&str, &str)]) -> ClientDescriptor {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    ClientDescriptor {
        config: items.iter().map(own).collect(),
        ..client(40, 1..=1)
    }
}

fn group(clients: &[ClientDescriptor]) -> pb::GroupHello {
    pb::GroupHello {
        group: 1,
        clients: clients.iter().map(client_hello).collect(),
    }
}

fn agree(here: &[ClientDescriptor], peer: &[ClientDescriptor]) -> Agreement {
    compare(here.iter(), Some(&group(peer)))
}

#[test]
fn equal_units_agree() {
    let clients = [client(40, 1..=2), client(41, 3..=3)];
    let agreement = agree(&clients, &clients);
    assert!(agreement.disagreements.is_empty() && agreement.differences.is_empty());
    let versions: Vec<_> = agreement.versions.into_iter().collect();
    assert_eq!(
        versions,
        [(ClientId::new(40), (2, 2)), (ClientId::new(41), (3, 3))]
    );
}

#[test]
fn the_highest_common_version_is_spoken() {
    let common = |here, peer| {
        let agreement = agree(&[client(40, here)], &[client(40, peer)]);
        agreement.versions.get(&ClientId::new(40)).copied()
    };
    assert_eq!(common(1..=2, 2..=5), Some((2, 5)));
    assert_eq!(common(2..=5, 1..=2), Some((2, 2)));
    assert_eq!(common(1..=9, 3..=4), Some((4, 4)));
    assert_eq!(common(1..=2, 3..=4), None);
    assert_eq!(common(3..=4, 1..=2), None);
    assert_eq!(
        common(u16::MAX..=u16::MAX, 1..=u16::MAX),
        Some((u16::MAX, u16::MAX))
    );
}

#[test]
fn versions_apart_are_named() {
    let agreement = agree(&[client(40, 1..=2)], &[client(40, 3..=4)]);
    let [disagreement] = &agreement.disagreements[..] else {
        panic!("{agreement:?}");
    };
    let text = disagreement.to_string();
    assert_eq!(
        text,
        "client 40 (table 40) speaks versions 1 to 2 here, 3 to 4 on the peer: \
         upgrade the older unit"
    );
}

#[test]
fn missing_clients_and_groups_are_named() {
    let agreement = agree(&[client(40, 1..=1)], &[client(41, 1..=1)]);
    let texts: Vec<_> = agreement
        .disagreements
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        texts,
        [
            "client 40 (table 40) is registered here but not on the peer",
            "client 41 (table 41) is registered on the peer but not here",
        ]
    );
    let agreement = compare([client(40, 1..=1)].iter(), None);
    assert_eq!(agreement.disagreements, [Disagreement::NoGroup]);
}

#[test]
fn differing_configuration_is_listed_item_by_item() {
    let here = configured(&[("a", "1"), ("b", "2"), ("c", "3")]);
    let peer = configured(&[("c", "3"), ("b", "x"), ("d", "")]);
    let agreement = agree(&[here], &[peer]);
    assert!(agreement.disagreements.is_empty());
    let texts: Vec<_> = agreement
        .differences
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        texts,
        [
            "client 40 (table 40): a is \"1\" here, not set on the peer",
            "client 40 (table 40): b is \"2\" here, \"x\" on the peer",
            "client 40 (table 40): d is not set here, \"\" on the peer",
        ]
    );
}

/// Numbers from the wire that no unit of ours would send.
#[test]
fn absurd_numbers_disagree() {
    let mut theirs = group(&[client(40, 1..=1)]);
    theirs.clients[0].version_min = u32::MAX;
    theirs.clients[0].version_max = 0;
    theirs.clients.push(pb::ClientHello {
        id: u32::MAX,
        ..pb::ClientHello::default()
    });
    let agreement = compare([client(40, 1..=1)].iter(), Some(&theirs));
    assert_eq!(agreement.disagreements.len(), 2);
    assert!(agreement.versions.is_empty());
    theirs.clients[0].version_min = 0;
    theirs.clients[0].version_max = u32::MAX;
    let agreement = compare([client(40, 1..=1)].iter(), Some(&theirs));
    assert_eq!(agreement.versions[&ClientId::new(40)], (1, u16::MAX));
}

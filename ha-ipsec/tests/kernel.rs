//! The sockets against the kernel of this machine, each test in a network namespace of its own.
//!
//! It takes a kernel with XFRM over netlink, and either root or user namespaces; without, the tests say
//! that they did nothing. ESP is not needed: SAs under negotiation and policies are enough. What needs
//! ESP is in `examples/xfrm-roundtrip.rs`.
#![cfg(all(feature = "linux", target_os = "linux"))]

mod namespace;

use std::net::IpAddr;

use ha_ipsec::linux::convert::SaHandle;
use ha_ipsec::linux::replay::{ReplayForm, ReplayState};
use ha_ipsec::linux::socket::{Event, Group, SocketError, XfrmEvents, XfrmSocket};
use ha_ipsec::linux::xfrm::{
    AddressFilter, Attribute, Attributes, Family, Flush, LifetimeConfig, Message, Policy, PolicyId,
    PolicyInfo, PolicyRef, Sa, SadInfo, Selector, SpiRange, SpiRequest, StateId, Template, dir,
    mode,
};
use namespace::in_namespace;

/// `None` on a kernel without XFRM.
fn socket() -> Option<XfrmSocket> {
    match XfrmSocket::open() {
        Err(SocketError::Unsupported) => {
            println!("not run: {}", SocketError::Unsupported);
            None
        }
        opened => Some(opened.unwrap()),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const ESP: u8 = 50;

fn larval(spi: u32, peer: &str) -> Message {
    let mut range = SpiRange {
        min: spi,
        max: spi,
        ..SpiRange::default()
    };
    range.info.id = StateId {
        daddr: ip("192.0.2.1").into(),
        spi: 0,
        proto: ESP,
    };
    range.info.saddr = ip(peer).into();
    (range.info.family, range.info.mode, range.info.reqid) = (Family::INET, mode::TUNNEL, spi);
    range.info.lft = LifetimeConfig::UNLIMITED;
    Message::AllocSpi(SpiRequest::new(range))
}

fn sas(socket: &mut XfrmSocket, request: &Message) -> Vec<Sa> {
    let all = socket.dump(request).unwrap().into_iter();
    all.map(|message| match message {
        Message::NewSa(sa) => sa,
        other => panic!("{other:?}"),
    })
    .collect()
}

#[test]
fn sas_under_negotiation() {
    in_namespace("sas_under_negotiation", || {
        let Some(mut socket) = socket() else { return };
        let mut events = XfrmEvents::open(&[Group::Sa], 1 << 20).unwrap();
        for (spi, peer) in [(0x1000, "198.51.100.7"), (0x1001, "203.0.113.9")] {
            let Message::NewSa(sa) = socket.get(larval(spi, peer)).unwrap() else {
                panic!("no SA")
            };
            assert_eq!((sa.info.id.spi, sa.info.reqid), (spi, spi));
        }
        let all = sas(&mut socket, &Message::dump_ipsec());
        assert_eq!(all.len(), 2);
        let filter = AddressFilter {
            saddr: ip("203.0.113.0").into(),
            family: Family::INET,
            splen: 24,
            ..AddressFilter::default()
        };
        let only = Attributes::from_iter([Attribute::AddressFilter(filter)]);
        let filtered = sas(&mut socket, &Message::DumpSa(only));
        let spis: Vec<_> = filtered.iter().map(|sa| sa.info.id.spi).collect();
        assert_eq!(spis, [0x1001]);
        let ah = Attributes::from_iter([Attribute::Proto(51)]);
        assert!(sas(&mut socket, &Message::DumpSa(ah)).is_empty());

        let handle = SaHandle::of(&all[0]);
        assert_eq!(
            socket.get(handle.get()).unwrap(),
            Message::NewSa(all[0].clone())
        );
        let figures = socket.get(Message::GetSadInfo(SadInfo::default())).unwrap();
        assert!(matches!(figures, Message::NewSadInfo(info) if info.count() == Some(2)));
        // Numbers belong to SAs that are ready.
        let numbers = handle.set_numbers(&ReplayState::default(), None).unwrap();
        assert!(matches!(
            socket.execute(numbers),
            Err(SocketError::Kernel(error)) if error.errno == 22
        ));

        socket.execute(handle.delete()).unwrap();
        let Some(Event::Message(Message::DeleteSa(deleted))) = events.next_event().unwrap() else {
            panic!("no deletion")
        };
        assert_eq!(deleted.id, handle.id);
        let gone = socket.get(handle.get()).unwrap_err();
        assert!(matches!(gone, SocketError::Kernel(error) if error.is_missing()));
        let numbers = handle.set_numbers(&ReplayState::default(), None).unwrap();
        let gone = socket.execute(numbers).unwrap_err();
        assert!(matches!(gone, SocketError::Kernel(error) if error.is_missing()));
        socket.execute(Message::FlushSa(Flush::new(0))).unwrap();
        let flushed = events.next_event().unwrap();
        assert!(matches!(flushed, Some(Event::Message(Message::FlushSa(_)))));
        assert_eq!(events.next_event().unwrap(), None);
        assert!(sas(&mut socket, &Message::dump_ipsec()).is_empty());
    });
}

/// For packets to 10.0.`number`.
fn policy(number: u16) -> Policy {
    let [high, low] = number.to_be_bytes();
    let sel = Selector {
        daddr: IpAddr::from([10, high, low, 0]).into(),
        prefixlen_d: 24,
        family: Family::INET,
        ..Selector::default()
    };
    let mut policy = Policy::new(PolicyInfo {
        sel,
        lft: LifetimeConfig::UNLIMITED,
        priority: 100,
        dir: dir::OUT,
        ..PolicyInfo::default()
    });
    let template = Template {
        id: StateId {
            daddr: ip("198.51.100.7").into(),
            spi: 0,
            proto: ESP,
        },
        family: Family::INET,
        saddr: ip("192.0.2.1").into(),
        reqid: 7,
        mode: mode::TUNNEL,
        aalgos: u32::MAX,
        ealgos: u32::MAX,
        calgos: u32::MAX,
        ..Template::default()
    };
    policy.attributes.push(Attribute::Templates(vec![template]));
    policy.attributes.push(Attribute::IfId(42));
    policy
}

fn named(policy: &Policy) -> PolicyRef {
    let mut reference = PolicyRef::new(PolicyId {
        sel: policy.info.sel,
        index: 0,
        dir: policy.info.dir,
    });
    reference.attributes.push(Attribute::IfId(42));
    reference
}

#[test]
fn policies() {
    in_namespace("policies", || {
        let Some(mut socket) = socket() else { return };
        let mut events = XfrmEvents::open(&[Group::Policy], 1 << 20).unwrap();
        let wanted = policy(1);
        socket.execute(Message::NewPolicy(wanted.clone())).unwrap();
        let get = Message::GetPolicy(named(&wanted));
        let Message::NewPolicy(shown) = socket.get(get.clone()).unwrap() else {
            panic!("no policy")
        };
        assert_eq!(shown.attributes.templates(), wanted.attributes.templates());
        assert_eq!(shown.attributes.if_id(), Some(&42));
        let event = events.next_event().unwrap();
        assert_eq!(
            event,
            Some(Event::Message(Message::NewPolicy(shown.clone())))
        );

        let again = socket.execute(Message::NewPolicy(wanted.clone()));
        assert!(matches!(again, Err(SocketError::Kernel(error)) if error.is_duplicate()));
        let mut other = wanted.clone();
        other.info.priority = 7;
        socket.execute(Message::UpdatePolicy(other)).unwrap();
        let Message::NewPolicy(shown) = socket.get(get).unwrap() else {
            panic!("no policy")
        };
        assert_eq!(shown.info.priority, 7);
        let all = socket.dump(&Message::DumpPolicy(Attributes::new()));
        assert_eq!(all.unwrap(), [Message::NewPolicy(shown)]);

        let delete = Message::DeletePolicy(named(&wanted));
        socket.execute(delete.clone()).unwrap();
        let gone = socket.execute(delete).unwrap_err();
        assert!(matches!(&gone, SocketError::Kernel(error) if error.is_missing()));
        let text = "the kernel refused XFRM_MSG_DELPOLICY: No such file or directory (os error 2)";
        assert_eq!(gone.to_string(), text);
        socket
            .execute(Message::FlushPolicy(Attributes::new()))
            .unwrap();
    });
}

#[test]
fn many_requests_at_once() {
    in_namespace("many_requests_at_once", || {
        let Some(mut socket) = socket() else { return };
        // Every tenth is there already.
        let numbers = || (0..1000).map(|number| number - u16::from(number % 10 == 9));
        let requests = numbers().map(|number| Message::NewPolicy(policy(number)));
        let results = socket.execute_all(requests).unwrap();
        assert_eq!(results.len(), 1000);
        for (place, result) in results.iter().enumerate() {
            match result {
                Ok(()) => assert!(place % 10 != 9),
                Err(error) => assert!(place % 10 == 9 && error.is_duplicate(), "{error}"),
            }
        }
        let request = Message::DumpPolicy(Attributes::new());
        assert_eq!(socket.dump(&request).unwrap().len(), 900);
        assert_eq!(socket.dump_at_most(&request, 900).unwrap().len(), 900);
        // One beyond the limit; and the next dump is not in its way.
        let beyond = socket.dump_at_most(&request, 899).unwrap_err();
        assert!(matches!(beyond, SocketError::TooMany { allowed: 899 }));
        assert_eq!(socket.dump(&request).unwrap().len(), 900);
        assert!(socket.execute_all([]).unwrap().is_empty());
    });
}

#[test]
fn lost_events_are_told() {
    in_namespace("lost_events_are_told", || {
        let Some(mut socket) = socket() else { return };
        // The kernel's least.
        let mut events = XfrmEvents::open(&[Group::Policy], 1).unwrap();
        let requests = (0..200).map(|number| Message::NewPolicy(policy(number)));
        let results = socket.execute_all(requests).unwrap();
        assert!(results.iter().all(Result::is_ok));
        let mut lost = 0;
        while let Some(event) = events.next_event().unwrap() {
            lost += usize::from(event == Event::Lost);
        }
        assert_eq!(lost, 1);
        // And it goes on.
        socket.execute(Message::NewPolicy(policy(300))).unwrap();
        let event = events.next_event().unwrap();
        assert!(matches!(event, Some(Event::Message(Message::NewPolicy(_)))));
    });
}

/// Any process with the capability may send to any netlink socket: only the kernel is believed.
#[test]
fn what_others_send_is_ignored() {
    in_namespace("what_others_send_is_ignored", || {
        use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_XFRM};

        // The first socket of a process has its id for a port.
        let mut events = match XfrmEvents::open(&[Group::Policy], 1 << 20) {
            Err(SocketError::Unsupported) => return,
            opened => opened.unwrap(),
        };
        let forged = include_bytes!("captured/event_new_policy");
        let other = Socket::new(NETLINK_XFRM).unwrap();
        let port = SocketAddr::new(std::process::id(), 0);
        assert_eq!(other.send_to(forged, &port, 0).unwrap(), forged.len());
        assert_eq!(events.next_event().unwrap(), None);
        let mut socket = socket().unwrap();
        socket.execute(Message::NewPolicy(policy(1))).unwrap();
        let event = events.next_event().unwrap();
        assert!(matches!(
            event,
            Some(Event::Message(Message::NewPolicy(it))) if it.attributes.if_id() == Some(&42)
        ));
    });
}

#[test]
fn receive_buffers_grow_beyond_the_limit_of_the_system() {
    in_namespace(
        "receive_buffers_grow_beyond_the_limit_of_the_system",
        || {
            let Some(mut socket) = socket() else { return };
            let got = socket.set_receive_buffer(16 << 20).unwrap();
            // In a user namespace the system's limit holds (net.core.rmem_max).
            assert!(got >= 128 << 10, "{got}");
        },
    );
}

/// On a kernel with ESP and AES-GCM; others refuse the SA with a reason.
#[test]
fn numbers_of_a_ready_sa() {
    in_namespace("numbers_of_a_ready_sa", || {
        use ha_ipsec::id::{Protocol, SaId};
        use ha_ipsec::linux::convert::{Export, export};
        use ha_ipsec::record::{Direction, IpsecSa, Mode, SaKeys, Transform};

        let Some(mut socket) = socket() else { return };
        let mut events = XfrmEvents::open(&[Group::AsyncEvents], 1 << 20).unwrap();
        let id = SaId {
            spi: 0x1000,
            destination: ip("192.0.2.1"),
            protocol: Protocol::Esp,
        };
        let mut record = IpsecSa::new(id, Direction::Inbound, ip("198.51.100.7"), Mode::Tunnel);
        record.encryption = Some(Transform::AES_GCM_128);
        record.keys = SaKeys::new(&[7; 20], &[]);
        record.esn = true;
        let options = Export::default();
        let sa = export(&record, &options, [].as_slice()).unwrap();
        if let Err(error) = socket.execute(Message::NewSa(sa)) {
            let SocketError::Kernel(refused) = &error else {
                panic!("{error}")
            };
            assert!(refused.text.is_some(), "{error}");
            println!("not run: {error}");
            return;
        }
        let handle = SaHandle::of_record(&record, &options);
        assert_eq!(handle.form, ReplayForm::for_window(64, true));
        let state = ReplayState {
            outbound: 7,
            inbound: 5 << 32,
            seen: vec![0b101],
            window: 64,
        };
        socket
            .execute(handle.set_numbers(&state, None).unwrap())
            .unwrap();
        let Message::NewAsyncEvent(answer) = socket.get(handle.get_numbers()).unwrap() else {
            panic!("no numbers")
        };
        let is = ReplayState::from_attributes(&answer.attributes, handle.form);
        assert_eq!(is, Some(state));
        assert!(matches!(
            events.next_event().unwrap(),
            Some(Event::Message(Message::NewAsyncEvent(_)))
        ));
    });
}

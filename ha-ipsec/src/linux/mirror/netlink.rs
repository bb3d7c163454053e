//! The kernel of this machine.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};

use super::filter::Filter;
use super::kernel::{
    Answer, Command, Kernel, KernelError, KernelEvent, KernelSa, Refusal, SaRef, Usage,
};
use crate::id::{Protocol, SaId};
use crate::linux::convert::{ConvertError, Export, Machine, SaHandle, export, import};
use crate::linux::replay::ReplayState;
use crate::linux::socket::{self, Event, Group, SocketError, XfrmEvents, XfrmSocket};
use crate::linux::xfrm::{
    self, AsyncEvent, AsyncEventId, Attribute, Attributes, ExpiredSa, LifetimeCurrent, Message,
    Policy, PolicyId, PolicyRef, Sa, SaExpire, SaStats, dir,
};
use crate::record::{Direction, IpsecSa, Mark};

/// SAs and policies of the network namespace that it was opened in, over netlink.
///
/// What does not pass the filter is not seen, and so not touched.
pub struct Netlink {
    filter: Filter,
    requests: XfrmSocket,
    events: XfrmEvents,
    /// How the kernel names the SAs that it showed.
    handles: HashMap<SaRef, SaHandle>,
    options: Export,
}

impl core::fmt::Debug for Netlink {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Netlink")
            .field("filter", &self.filter)
            .field("sas", &self.handles.len())
            .finish_non_exhaustive()
    }
}

impl Netlink {
    /// Opens the sockets, and listens. `receive_bytes` is the room for events that wait: an event takes
    /// 1 to 2 KiB of it.
    ///
    /// # Errors
    /// Without CAP_NET_ADMIN, or without XFRM in the kernel.
    pub fn open(filter: Filter, receive_bytes: usize) -> Result<Self, SocketError> {
        let groups = [Group::Sa, Group::Policy, Group::Expire, Group::AsyncEvents];
        let mut requests = XfrmSocket::open()?;
        requests.set_receive_buffer(receive_bytes)?;
        Ok(Self {
            filter,
            requests,
            events: XfrmEvents::open(&groups, receive_bytes)?,
            handles: HashMap::new(),
            options: Export::default(),
        })
    }

    /// Becomes readable when there are events.
    pub fn events_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// An SA that the kernel showed, if it is to be mirrored.
    fn take(&mut self, sa: &Sa) -> Option<KernelSa> {
        let imported = match import(sa, &self.filter, &[]) {
            Ok(imported) => imported,
            // Larval SAs, and what lies below IPComp, come again or never mattered.
            Err(ConvertError::Larval | ConvertError::Protocol(_)) => return None,
            Err(why) => {
                if self.is_ours(sa) {
                    tracing::warn!(spi = format_args!("{:#010x}", sa.info.id.spi), %why, "an SA cannot be mirrored");
                }
                return None;
            }
        };
        if !self.filter.takes(&imported.sa) {
            return None;
        }
        let sa_ref = SaRef::of(&imported.sa);
        self.options.direction |= sa.attributes.direction().is_some();
        self.handles.insert(sa_ref, SaHandle::of(sa));
        Some(KernelSa {
            record: imported.sa,
            replay: imported.replay,
            usage: usage(&imported.usage),
            refused: refused(&sa.info.stats),
        })
    }

    fn is_ours(&self, sa: &Sa) -> bool {
        let (source, destination) = (sa.info.saddr, sa.info.id.daddr);
        let [source, destination] = [source, destination].map(|it| it.ip(sa.info.family));
        source
            .zip(destination)
            .is_some_and(|(source, destination)| {
                self.filter.direction(&source, &destination).is_some()
            })
    }

    fn event(&mut self, message: Message) -> Option<KernelEvent> {
        match message {
            Message::NewSa(sa) | Message::UpdateSa(sa) => {
                // Read again when its turn comes: what an event shows may be gone.
                self.take(&sa)
                    .map(|sa| KernelEvent::Sa(SaRef::of(&sa.record)))
            }
            Message::DeleteSa(_) | Message::Expire(_) => self.known(ended(&message)?),
            Message::FlushSa(_) => Some(KernelEvent::SasFlushed),
            Message::NewPolicy(_)
            | Message::UpdatePolicy(_)
            | Message::DeletePolicy(_)
            | Message::FlushPolicy(_)
            | Message::PolicyExpire(_) => Some(KernelEvent::Policies),
            Message::NewAsyncEvent(event) => self.counters(&event),
            _ => None,
        }
    }

    /// Only SAs that passed the filter are known.
    fn known(&self, sa: SaRef) -> Option<KernelEvent> {
        self.handles
            .contains_key(&sa)
            .then_some(KernelEvent::Sa(sa))
    }

    fn counters(&self, event: &AsyncEvent) -> Option<KernelEvent> {
        let sa = sa_ref(&event.id.sa_id, &event.attributes)?;
        let source = event.id.saddr.ip(event.id.sa_id.family)?;
        let Some(handle) = self.handles.get(&sa) else {
            let ours = self.filter.direction(&source, &sa.id.destination);
            return ours.map(|_| KernelEvent::Sa(sa));
        };
        let replay = ReplayState::from_attributes(&event.attributes, handle.form)?;
        let usage = event.attributes.lifetime_current().map(usage);
        Some(KernelEvent::Counters { sa, replay, usage })
    }

    fn message(&mut self, command: &Command) -> Result<Message, Refusal> {
        let other = |error: &dyn core::fmt::Display| Refusal::Other(error.to_string());
        match command {
            Command::Install {
                record,
                replay,
                usage,
            } => {
                let mut options = self.options.clone();
                options.replay = Some(with_window(record, replay));
                options.usage = Some(lifetime(usage));
                let sa = export(record, &options, &self.filter).map_err(|e| other(&e))?;
                self.handles.insert(SaRef::of(record), SaHandle::of(&sa));
                Ok(Message::NewSa(sa))
            }
            Command::SetCounters { sa, replay, usage } => {
                let handle = self.handle(sa)?;
                let set = handle.set_numbers(replay, Some(lifetime(usage)));
                set.map_err(|error| other(&error))
            }
            Command::SetThreshold { sa, packets } => {
                let handle = self.handle(sa)?;
                Ok(threshold(handle, *packets))
            }
            Command::SoftExpire(record) => {
                let sa = export(record, &self.options, &self.filter).map_err(|e| other(&e))?;
                let mut expire = SaExpire::new(ExpiredSa {
                    state: sa.info,
                    hard: 0,
                });
                expire.attributes.extend(record.mark.map(mark));
                Ok(Message::Expire(expire))
            }
            Command::Remove(sa) => Ok(self.handle(sa)?.delete()),
            Command::InstallPolicy(policy) => Ok(Message::UpdatePolicy(Policy::clone(policy))),
            Command::RemovePolicy(policy) => Ok(Message::DeletePolicy(reference(policy))),
        }
    }

    fn handle(&self, sa: &SaRef) -> Result<&SaHandle, Refusal> {
        self.handles.get(sa).ok_or(Refusal::NotFound)
    }
}

impl Kernel for Netlink {
    fn sas(&mut self) -> Result<Vec<KernelSa>, KernelError> {
        let all = Attributes::from_iter([Attribute::Proto(ANY_PROTOCOL)]);
        let messages = self.requests.dump(&Message::DumpSa(all)).map_err(failed)?;
        self.handles.clear();
        Ok(messages
            .iter()
            .filter_map(|message| match message {
                Message::NewSa(sa) => self.take(sa),
                _ => None,
            })
            .collect())
    }

    fn sa(&mut self, sa: &SaRef) -> Result<Option<KernelSa>, KernelError> {
        let request = match self.handles.get(sa) {
            Some(handle) => handle.get(),
            None => by_name(sa),
        };
        match self.requests.get(request) {
            Ok(Message::NewSa(found)) => Ok(self.take(&found)),
            Ok(_) => Ok(None),
            Err(SocketError::Kernel(error)) if error.errno == ESRCH => {
                self.handles.remove(sa);
                Ok(None)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn policies(&mut self) -> Result<Vec<Policy>, KernelError> {
        let request = Message::DumpPolicy(Attributes::new());
        let messages = self.requests.dump(&request).map_err(failed)?;
        let policies = messages.into_iter().filter_map(|message| match message {
            // Those of sockets have other directions, and no other unit has these sockets.
            Message::NewPolicy(policy) if policy.info.dir <= dir::FWD => Some(policy),
            _ => None,
        });
        Ok(policies
            .filter(|policy| self.filter.takes_policy(policy))
            .collect())
    }

    fn next_event(&mut self) -> Result<Option<KernelEvent>, KernelError> {
        loop {
            match self.events.next_event() {
                Ok(None) => return Ok(None),
                Ok(Some(Event::Lost)) => return Ok(Some(KernelEvent::Lost)),
                Ok(Some(Event::Message(message))) => {
                    if let Some(event) = self.event(message) {
                        return Ok(Some(event));
                    }
                }
                Err(SocketError::Decode(why)) => {
                    tracing::warn!(%why, "an event of the kernel cannot be read; reading all SAs anew");
                    return Ok(Some(KernelEvent::Lost));
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }

    fn apply(&mut self, commands: &[Command]) -> Result<Vec<Answer>, KernelError> {
        let mut answers: Vec<Answer> = Vec::with_capacity(commands.len());
        let (mut messages, mut places) = (Vec::new(), Vec::new());
        for (place, command) in commands.iter().enumerate() {
            let message = self.message(command);
            answers.push(message.as_ref().map(|_| ()).map_err(Clone::clone));
            if let Ok(message) = message {
                messages.push(message);
                places.push(place);
            }
        }
        let results = self.requests.execute_all(messages).map_err(failed)?;
        for (place, result) in places.into_iter().zip(results) {
            if let (Err(error), Some(answer)) = (result, answers.get_mut(place)) {
                *answer = Err(refusal(&error));
            }
        }
        Ok(answers)
    }
}

/// The virtual addresses are this gateway's.
impl Machine for Filter {
    fn is_local(&self, address: core::net::IpAddr) -> bool {
        self.addresses.contains(&address)
    }
}

/// The SA whose end a message tells. A soft expiration is none: this unit asks for rekeys with it, and
/// hears itself.
fn ended(message: &Message) -> Option<SaRef> {
    match message {
        Message::DeleteSa(gone) => sa_ref(&gone.id, &gone.attributes),
        Message::Expire(gone) if gone.expire.hard != 0 => {
            sa_ref(&gone.expire.state.sa_id(), &gone.attributes)
        }
        _ => None,
    }
}

fn sa_ref(id: &xfrm::SaId, attributes: &Attributes) -> Option<SaRef> {
    let id = SaId {
        spi: id.spi,
        destination: id.daddr.ip(id.family)?,
        protocol: Protocol::from_number(id.proto)?,
    };
    let mark = attributes.mark().map(|mark| Mark {
        value: mark.v,
        mask: mark.m,
    });
    Some(SaRef { id, mark })
}

/// A new SA has the window of its state: the record's, where the state has none because all below its
/// top counts as received.
fn with_window(record: &IpsecSa, replay: &ReplayState) -> ReplayState {
    if record.direction == Direction::Outbound || replay.window > 0 || record.compression.is_some()
    {
        return replay.clone();
    }
    let window = record.window.packets();
    ReplayState {
        window,
        seen: vec![u64::MAX; window.div_ceil(64) as usize],
        ..*replay
    }
}

/// The name of an SA that the kernel has not shown yet.
fn by_name(sa: &SaRef) -> Message {
    let mut reference = xfrm::SaRef::new(xfrm::SaId {
        daddr: sa.id.destination.into(),
        spi: sa.id.spi,
        family: xfrm::Family::of(&sa.id.destination),
        proto: sa.id.protocol.number(),
    });
    reference.attributes.extend(sa.mark.map(mark));
    Message::GetSa(reference)
}

const fn mark(mark: Mark) -> Attribute {
    Attribute::Mark(xfrm::Mark {
        v: mark.value,
        m: mark.mask,
    })
}

/// Sets the threshold alone: numbers that packets move meanwhile stay.
fn threshold(handle: &SaHandle, packets: u32) -> Message {
    let mut event = AsyncEvent::new(AsyncEventId {
        sa_id: handle.id,
        saddr: handle.source,
        flags: 0,
        reqid: handle.reqid,
    });
    event.attributes.extend(handle.mark.map(Attribute::Mark));
    event.attributes.push(Attribute::ReplayThreshold(packets));
    Message::NewAsyncEvent(event)
}

fn reference(policy: &Policy) -> PolicyRef {
    let mut reference = PolicyRef::new(PolicyId {
        sel: policy.info.sel,
        index: 0,
        dir: policy.info.dir,
    });
    for attribute in &policy.attributes {
        if let Attribute::Mark(_) | Attribute::IfId(_) | Attribute::PolicyType(_) = attribute {
            reference.attributes.push(attribute.clone());
        }
    }
    reference
}

const fn usage(current: &LifetimeCurrent) -> Usage {
    Usage {
        bytes: current.bytes,
        packets: current.packets,
        added_unix_s: current.add_time,
        used_unix_s: current.use_time,
    }
}

fn refused(stats: &SaStats) -> u64 {
    u64::from(stats.replay_window) + u64::from(stats.replay)
}

const fn lifetime(usage: &Usage) -> LifetimeCurrent {
    LifetimeCurrent {
        bytes: usage.bytes,
        packets: usage.packets,
        add_time: usage.added_unix_s,
        use_time: usage.used_unix_s,
    }
}

fn failed(error: SocketError) -> KernelError {
    KernelError(error.to_string())
}

fn refusal(error: &socket::KernelError) -> Refusal {
    match error.errno {
        EEXIST => Refusal::Exists,
        ESRCH | ENOENT => Refusal::NotFound,
        _ => Refusal::Other(error.to_string()),
    }
}

/// IPSEC_PROTO_ANY: ESP, AH and IPComp, without the tunnels below IPComp.
const ANY_PROTOCOL: u8 = 255;
const ENOENT: i32 = 2;
const ESRCH: i32 = 3;
const EEXIST: i32 = 17;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::linux::xfrm::Packets;

    fn captured(bytes: &[u8]) -> Option<SaRef> {
        let packet = Packets::new(bytes).next().expect("a message");
        ended(&packet.unwrap().message)
    }

    #[test]
    fn a_soft_expiration_is_not_the_end_of_an_sa() {
        let soft = include_bytes!("../../../tests/captured/event_expire_soft");
        assert_eq!(captured(soft), None);
        let hard = include_bytes!("../../../tests/captured/event_expire_hard");
        assert!(captured(hard).is_some());
        let deleted = include_bytes!("../../../tests/captured/event_deleted_sa");
        assert!(captured(deleted).is_some());
    }
}

//! Policies as a replicated table.

use std::collections::HashMap;

use ha_core::checkpoint::{BuildError, DecodeError, Record, StateTable, WriteBatch, WriteError};
use ha_core::id::ClientId;

use crate::linux::xfrm::{
    Attribute, Buffer, LifetimeCurrent, Mark, Message, Packet, Packets, Policy, Selector, attr,
};

/// The policies of the mirrored SAs: what the active unit's kernel has.
pub(super) type PolicyTable = StateTable<PolicyKey, PolicyRecord>;

pub(super) fn table(id: ClientId, max_policies: usize) -> Result<PolicyTable, BuildError> {
    StateTable::builder(id, "xfrm-policy")
        .max_entries(max_policies)
        .build()
}

/// What makes a policy another one to the kernel (`xfrm_policy_insert_list`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct PolicyKey {
    selector: Selector,
    dir: u8,
    kind: u8,
    mark: Mark,
    interface_id: u32,
    priority: u32,
}

impl PolicyKey {
    pub(super) fn of(policy: &Policy) -> Self {
        let attributes = &policy.attributes;
        Self {
            selector: policy.info.sel,
            dir: policy.info.dir,
            kind: attributes.policy_type().map_or(0, |it| it.kind),
            mark: attributes.mark().copied().unwrap_or_default(),
            interface_id: attributes.if_id().copied().unwrap_or(0),
            priority: policy.info.priority,
        }
    }
}

/// A policy, less what differs between kernels: its number and its use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PolicyRecord(Policy);

impl PolicyRecord {
    pub(super) fn new(mut policy: Policy) -> Self {
        policy.info.index = 0;
        policy.info.curlft = LifetimeCurrent::default();
        policy.attributes.remove(attr::LASTUSED);
        Self(policy)
    }

    /// Whether a kernel's policy is this one.
    pub(super) fn is(&self, held: &Policy) -> bool {
        Self::new(held.clone()) == *self
    }

    pub(super) const fn policy(&self) -> &Policy {
        &self.0
    }
}

/// The kernel's own bytes, behind one that tells their order: both units have the same codec, and a
/// policy holds nothing that another program reads.
impl Record for PolicyRecord {
    fn encode(&self, _version: u16, out: &mut Vec<u8>) {
        let packet = Packet {
            flags: 0,
            sequence: 0,
            port: 0,
            message: Message::NewPolicy(self.0.clone()),
        };
        let mut buffer = Buffer::default();
        out.push(ORDER);
        // What the kernel sent in one message fits into one.
        if packet.encode(&mut buffer).is_ok() {
            out.extend_from_slice(buffer.as_bytes());
        }
    }

    fn decode(_version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
        let invalid = |text: &str| DecodeError::Invalid(text.to_owned());
        let rest = match bytes.split_first() {
            Some((&ORDER, rest)) => rest,
            Some(_) => {
                return Err(invalid(
                    "a policy of a machine with another byte order; full mode needs two alike",
                ));
            }
            None => return Err(invalid("an empty policy")),
        };
        let mut packets = Packets::new(rest);
        match packets.next() {
            Some(Ok(Packet {
                message: Message::NewPolicy(policy),
                ..
            })) if packets.next().is_none() => Ok(Self(policy)),
            Some(Err(error)) => Err(DecodeError::Invalid(error.to_string())),
            _ => Err(invalid("not one policy")),
        }
    }
}

/// The fields in the order of the struct, all of one length.
impl Record for PolicyKey {
    fn encode(&self, version: u16, out: &mut Vec<u8>) {
        let mut policy = Policy::default();
        policy.info.sel = self.selector;
        (policy.info.dir, policy.info.priority) = (self.dir, self.priority);
        let attributes = &mut policy.attributes;
        attributes.push(Attribute::Mark(self.mark));
        attributes.push(Attribute::IfId(self.interface_id));
        out.push(self.kind);
        PolicyRecord(policy).encode(version, out);
    }

    fn decode(version: u16, bytes: &[u8]) -> Result<Self, DecodeError> {
        let (kind, rest) = bytes
            .split_first()
            .ok_or_else(|| DecodeError::Invalid("an empty name of a policy".to_owned()))?;
        let PolicyRecord(policy) = PolicyRecord::decode(version, rest)?;
        let key = Self {
            kind: *kind,
            ..Self::of(&policy)
        };
        Ok(key)
    }
}

/// Brings the table to what the kernel has. Returns how many entries changed.
///
/// # Errors
/// When the table refuses; nothing has changed then.
pub(super) fn sync(table: &PolicyTable, kernel: Vec<Policy>) -> Result<usize, WriteError> {
    let wanted: HashMap<_, _> = kernel
        .into_iter()
        .map(|policy| (PolicyKey::of(&policy), PolicyRecord::new(policy)))
        .collect();
    let mut batch = WriteBatch::new();
    let mut changed = 0;
    let mut gone = Vec::new();
    table.for_each(|key, _| {
        if !wanted.contains_key(key) {
            gone.push(*key);
        }
    });
    for key in gone {
        batch.on(table).remove(key);
        changed += 1;
    }
    for (key, record) in wanted {
        if table.with(&key, |held| *held == record) != Some(true) {
            batch.on(table).insert(key, record);
            changed += 1;
        }
    }
    if changed > 0 {
        // Nobody waits for the standby: the kernel uses the policy already.
        drop(batch.commit()?);
    }
    Ok(changed)
}

/// Tells the two byte orders apart.
const ORDER: u8 = if cfg!(target_endian = "little") { 1 } else { 2 };

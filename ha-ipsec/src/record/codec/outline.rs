//! A look at a record without decoding it.

use super::ipsec::{LIFETIME, SCHEMA};
use super::parts;
use super::reader::{Field, Fields};
use crate::id::IkeId;
use crate::lifetime::Lifetime;
use crate::record::{IpsecSa, RecordError};

/// What the control path wants to know of each IPsec SA: whose it is, and when it ends. Reading it
/// allocates nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Outline {
    pub(crate) instance: u64,
    pub(crate) ike: Option<IkeId>,
    pub(crate) lifetime: Lifetime,
    pub(crate) created_unix_s: u64,
    pub(crate) idle_timeout_s: Option<u32>,
}

impl Outline {
    /// Of a record that was checked when it came; fields that are not asked for are not checked again.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut outline = Self {
            instance: 0,
            ike: None,
            lifetime: Lifetime::default(),
            created_unix_s: 0,
            idle_timeout_s: None,
        };
        let mut fields = Fields::new(bytes, &SCHEMA);
        while let Some(field) = fields.next()? {
            if field.number > LAST {
                break;
            }
            outline.set(&field)?;
        }
        Ok(outline)
    }

    fn set(&mut self, field: &Field<'_>) -> Result<(), RecordError> {
        match field.number {
            7 => self.ike_mut().initiator = field.fixed64()?,
            8 => self.ike_mut().responder = field.fixed64()?,
            16 => self.instance = field.fixed64()?,
            number @ LIFETIME..=LIFETIME_END => {
                parts::set_lifetime(&mut self.lifetime, number - LIFETIME, field)?;
            }
            30 => self.created_unix_s = field.uint()?,
            LAST => self.idle_timeout_s = Some(field.some_small()?),
            _ => {}
        }
        Ok(())
    }

    fn ike_mut(&mut self) -> &mut IkeId {
        self.ike.get_or_insert(IkeId {
            initiator: 0,
            responder: 0,
        })
    }
}

impl From<&IpsecSa> for Outline {
    fn from(sa: &IpsecSa) -> Self {
        Self {
            instance: sa.instance,
            ike: sa.ike,
            lifetime: sa.lifetime,
            created_unix_s: sa.created_unix_s,
            idle_timeout_s: sa.idle_timeout_s,
        }
    }
}

const LIFETIME_END: u32 = LIFETIME + 5;
/// The last field of interest.
const LAST: u32 = 34;

//! Naming an SA of the kernel.

use super::Export;
use crate::linux::replay::{ReplayError, ReplayForm, ReplayState};
use crate::linux::xfrm::{
    Address, AsyncEvent, AsyncEventId, Attribute, Family, LifetimeCurrent, Mark, Message, Sa, SaId,
    SaRef, ae, attr,
};
use crate::record::IpsecSa;

/// What it takes to name an SA of the kernel and to set its numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SaHandle {
    /// Destination, SPI and protocol.
    pub id: SaId,
    /// Its source.
    pub source: Address,
    /// Its request id.
    pub reqid: u32,
    /// Its mark: the kernel finds an SA with a mark by the mark alone.
    pub mark: Option<Mark>,
    /// The form of its numbers.
    pub form: ReplayForm,
}

/// A copy of an SA that the kernel showed, to be installed by NEWSA: as it is, with its numbers and
/// its age. Only what the kernel shows but does not take is left out.
pub fn copy(sa: &Sa) -> Sa {
    let mut copy = sa.clone();
    copy.attributes.remove(attr::LASTUSED);
    if copy.attributes.auth_trunc().is_some() {
        // The same again, without the truncation.
        copy.attributes.remove(attr::ALG_AUTH);
    }
    copy.attributes
        .set(Attribute::LifetimeCurrent(sa.info.curlft));
    copy
}

impl SaHandle {
    /// Of an SA that the kernel showed.
    pub fn of(sa: &Sa) -> Self {
        Self {
            id: sa.info.sa_id(),
            source: sa.info.saddr,
            reqid: sa.info.reqid,
            mark: sa.attributes.mark().copied(),
            form: ReplayForm::of(sa),
        }
    }

    /// Of an SA that was installed from a record with these options.
    pub fn of_record(record: &IpsecSa, options: &Export) -> Self {
        Self {
            id: SaId {
                daddr: record.id.destination.into(),
                spi: record.id.spi,
                family: Family::of(&record.id.destination),
                proto: record.id.protocol.number(),
            },
            source: record.source.into(),
            reqid: record.reqid,
            mark: record.mark.map(|mark| Mark {
                v: mark.value,
                m: mark.mask,
            }),
            form: super::export::form(record, options),
        }
    }

    /// GETSA.
    pub fn get(&self) -> Message {
        Message::GetSa(self.reference())
    }

    /// DELSA.
    pub fn delete(&self) -> Message {
        Message::DeleteSa(self.reference())
    }

    /// GETAE, for numbers and usage alone: an answer without keys.
    pub fn get_numbers(&self) -> Message {
        Message::GetAsyncEvent(self.async_event(ae::RVAL | ae::LVAL))
    }

    /// NEWAE, which sets numbers and, if given, usage. The kernel takes whatever it is given: see
    /// [`ReplayState::is_ahead_of`].
    ///
    /// # Errors
    /// If the state does not fit the SA.
    pub fn set_numbers(
        &self,
        state: &ReplayState,
        usage: Option<LifetimeCurrent>,
    ) -> Result<Message, ReplayError> {
        let mut event = self.async_event(0);
        event.attributes.push(state.attribute(self.form)?);
        if let Some(usage) = usage {
            event.attributes.push(Attribute::LifetimeCurrent(usage));
        }
        Ok(Message::NewAsyncEvent(event))
    }

    fn reference(&self) -> SaRef {
        let mut reference = SaRef::new(self.id);
        reference.attributes.extend(self.mark.map(Attribute::Mark));
        // For protocols without SPI, and never wrong.
        reference.attributes.push(Attribute::Source(self.source));
        reference
    }

    fn async_event(&self, flags: u32) -> AsyncEvent {
        let mut event = AsyncEvent::new(AsyncEventId {
            sa_id: self.id,
            saddr: self.source,
            flags,
            reqid: self.reqid,
        });
        event.attributes.extend(self.mark.map(Attribute::Mark));
        event
    }
}

//! Changes of SAs: whole or not at all, on both units.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ha_core::checkpoint::{WriteBatch, WriteError};
use ha_core::sync::Commit;

use super::index::Children;
use super::{Control, Inner, Sad};
use crate::counters::{Begin, CounterKey, CounterPart, Shape, Write};
use crate::id::{IkeId, SaId};
use crate::record::{Direction, IkeProgress, IkeSa, IpsecSa, Outline, RecordError, StoredSa};
use crate::sequence::SequenceSpace;

/// Why SAs were not changed. Nothing has changed then.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// There is an SA with this SPI, destination and protocol already.
    #[error("there is {id} already; allocate another SPI, or remove the SA in the same change")]
    DuplicateSpi {
        /// Which.
        id: SaId,
    },
    /// There is an IKE SA with these SPIs already.
    #[error("there is {id} already; allocate another SPI, or remove the IKE SA in the same change")]
    DuplicateIke {
        /// Which.
        id: IkeId,
    },
    /// An IPsec SA names an IKE SA that is not there.
    #[error("{id} belongs to {ike}, which is not there; insert that one first")]
    NoIkeSa {
        /// The IPsec SA.
        id: SaId,
        /// The IKE SA.
        ike: IkeId,
    },
    /// What is to be rekeyed or updated is not there.
    #[error("{0} is not there; was it deleted, or not taken over?")]
    NotFound(String),
    /// The record contradicts itself or exceeds a limit.
    #[error("the record cannot be used: {0}")]
    Record(#[from] RecordError),
    /// The tables refuse.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Several changes that take effect together, on this unit at once and on the standby in one batch:
/// it never shows a rekey half way.
///
/// ```no_run
/// # use ha_ipsec::{id::IkeId, record::{IkeSa, IpsecSa}, sad::{ChangeError, Sad}};
/// # fn rekey(sad: &Sad, old: IkeId, new: IkeSa) -> Result<(), ChangeError> {
/// let mut change = sad.change();
/// change.rekey_ike(old, new); // its children move to the new one
/// let commit = change.commit()?;
/// // Await `commit` before the peer gets the response (output commit): then it never hears of an
/// // SA that only one unit knows.
/// # drop(commit);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing changes before commit"]
pub struct Change {
    sad: Sad,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    InsertIke(Box<IkeSa>),
    Progress(IkeId, Box<IkeProgress>),
    RekeyIke(IkeId, Box<IkeSa>),
    RemoveIke(IkeId),
    Insert(Box<IpsecSa>, Option<Begin>),
    Replace(Box<IpsecSa>),
    Remove(SaId),
}

impl Change {
    pub(super) fn new(sad: Sad) -> Self {
        let steps = Vec::new();
        Self { sad, steps }
    }

    /// A new IKE SA.
    pub fn insert_ike(&mut self, sa: IkeSa) -> &mut Self {
        self.steps.push(Step::InsertIke(Box::new(sa)));
        self
    }

    /// A new IKE SA that has got somewhere: after `IKE_AUTH` message ids are not 0.
    pub fn insert_ike_with(&mut self, sa: IkeSa, progress: IkeProgress) -> &mut Self {
        let id = sa.id;
        self.steps.push(Step::InsertIke(Box::new(sa)));
        self.steps.push(Step::Progress(id, Box::new(progress)));
        self
    }

    /// A new IKE SA takes the place of an old one (RFC 7296 §2.8: "the new IKE SA inherits all of
    /// the original IKE SA's Child SAs").
    pub fn rekey_ike(&mut self, old: IkeId, new: IkeSa) -> &mut Self {
        self.steps.push(Step::RekeyIke(old, Box::new(new)));
        self
    }

    /// An IKE SA goes, and with it the IPsec SAs that it made (RFC 7296 §1.4.1). Without effect if
    /// it is not there.
    pub fn remove_ike(&mut self, id: IkeId) -> &mut Self {
        self.steps.push(Step::RemoveIke(id));
        self
    }

    /// A new IPsec SA, of one direction. Its [`instance`](IpsecSa::instance) is assigned here, and the
    /// time of its creation unless it is given (see [`Sad::unix_s`]).
    pub fn insert(&mut self, sa: IpsecSa) -> &mut Self {
        self.steps.push(Step::Insert(Box::new(sa), None));
        self
    }

    /// As [`insert`](Self::insert), for an SA that a data path outside of this process has used
    /// already: what leaves for the standby says so from the first batch on.
    pub fn insert_at(&mut self, sa: IpsecSa, begin: Begin) -> &mut Self {
        self.steps.push(Step::Insert(Box::new(sa), Some(begin)));
        self
    }

    /// What an IPsec SA is changes, but not its keys, numbers or window: the peer's address after
    /// NAT rebinding or MOBIKE (RFC 4555), a selector, a lifetime. `sa` must be the current record
    /// with changes; counters go on.
    pub fn replace(&mut self, sa: IpsecSa) -> &mut Self {
        self.steps.push(Step::Replace(Box::new(sa)));
        self
    }

    /// An IPsec SA goes. Without effect if it is not there.
    pub fn remove(&mut self, id: SaId) -> &mut Self {
        self.steps.push(Step::Remove(id));
        self
    }

    /// Makes the changes. The commit resolves when the standby holds them.
    ///
    /// # Errors
    /// On a unit that is not active, without a group, or when a step cannot be made. Nothing has
    /// changed then.
    pub fn commit(self) -> Result<Commit, ChangeError> {
        let inner = &*self.sad.inner;
        let mut control = inner.control.lock();
        inner.forget_if_told(&mut control);
        let mut plan = Plan::new(inner);
        for step in self.steps {
            plan.step(step, &mut control)?;
        }
        plan.write(&mut control)
    }
}

/// What the tables are to hold, of what changes.
struct Plan<'a> {
    inner: &'a Inner,
    ike: BTreeMap<IkeId, Option<Arc<IkeSa>>>,
    progress: HashMap<IkeId, IkeProgress>,
    sas: HashMap<SaId, Option<Arc<IpsecSa>>>,
    /// Instances that come and go.
    inserted: Vec<(CounterKey, Option<Begin>)>,
    /// Of `sas`, those that are to be children of an IKE SA.
    children: Children,
    /// In the order of the changes, so that both units give slots alike.
    order: Vec<SaId>,
}

impl<'a> Plan<'a> {
    fn new(inner: &'a Inner) -> Self {
        Self {
            inner,
            ike: BTreeMap::new(),
            progress: HashMap::new(),
            sas: HashMap::new(),
            inserted: Vec::new(),
            children: Children::default(),
            order: Vec::new(),
        }
    }

    fn ike(&self, id: &IkeId) -> Option<Arc<IkeSa>> {
        let planned = self.ike.get(id).cloned();
        planned.unwrap_or_else(|| self.inner.ike.get(id))
    }

    fn sa(&self, id: &SaId) -> Option<Arc<IpsecSa>> {
        let planned = self.sas.get(id).cloned();
        planned.unwrap_or_else(|| self.inner.ipsec.with(id, StoredSa::open)?)
    }

    fn step(&mut self, step: Step, control: &mut Control) -> Result<(), ChangeError> {
        match step {
            Step::InsertIke(sa) => self.insert_ike(*sa, control),
            Step::Progress(id, progress) => {
                self.progress.insert(id, *progress);
                Ok(())
            }
            Step::RekeyIke(old, new) => self.rekey(old, *new, control),
            Step::RemoveIke(id) => {
                for child in self.children(&id, control) {
                    self.put(child, None);
                }
                self.ike.insert(id, None);
                Ok(())
            }
            Step::Insert(sa, begin) => self.insert(*sa, begin, control),
            Step::Replace(sa) => self.replace(*sa),
            Step::Remove(id) => {
                self.put(id, None);
                Ok(())
            }
        }
    }

    fn put(&mut self, id: SaId, sa: Option<Arc<IpsecSa>>) {
        if let Some(sa) = &sa {
            self.children.add(id, sa.ike);
        }
        match self.sas.insert(id, sa) {
            None => self.order.push(id),
            Some(Some(before)) if !self.is_child(&id, before.ike) => {
                self.children.remove(id, before.ike);
            }
            Some(_) => {}
        }
    }

    /// Whether a planned SA belongs to an IKE SA.
    fn is_child(&self, id: &SaId, ike: Option<IkeId>) -> bool {
        let planned = self.sas.get(id).and_then(Option::as_ref);
        planned.is_some_and(|sa| sa.ike == ike)
    }

    fn insert_ike(&mut self, mut sa: IkeSa, control: &Control) -> Result<(), ChangeError> {
        let id = sa.id;
        if sa.created_unix_s == 0 {
            sa.created_unix_s = control.clock.unix_s();
        }
        sa.check()?;
        if self.ike(&id).is_some() {
            return Err(ChangeError::DuplicateIke { id });
        }
        self.ike.insert(id, Some(Arc::new(sa)));
        Ok(())
    }

    fn rekey(&mut self, old: IkeId, new: IkeSa, control: &mut Control) -> Result<(), ChangeError> {
        if self.ike(&old).is_none() {
            return Err(ChangeError::NotFound(old.to_string()));
        }
        let id = new.id;
        self.insert_ike(new, control)?;
        for child in self.children(&old, control) {
            if let Some(sa) = self.sa(&child) {
                let mut moved = IpsecSa::clone(&sa);
                moved.ike = Some(id);
                self.put(child, Some(Arc::new(moved)));
            }
        }
        self.ike.insert(old, None);
        Ok(())
    }

    /// The children of an IKE SA, those included that come with this change.
    fn children(&self, ike: &IkeId, control: &mut Control) -> Vec<SaId> {
        let mut children = self.inner.index(control).children(ike);
        children.retain(|id| !self.sas.contains_key(id));
        children.extend(self.children.of(ike));
        children
    }

    fn insert(
        &mut self,
        mut sa: IpsecSa,
        begin: Option<Begin>,
        control: &Control,
    ) -> Result<(), ChangeError> {
        let id = sa.id;
        if sa.created_unix_s == 0 {
            sa.created_unix_s = control.clock.unix_s();
        }
        sa.check()?;
        if self.sa(&id).is_some() {
            return Err(ChangeError::DuplicateSpi { id });
        }
        self.check_parent(&sa)?;
        sa.instance = self.inner.instances.fetch_add(1, Ordering::Relaxed);
        self.inserted.push((key(&sa), begin));
        self.put(id, Some(Arc::new(sa)));
        Ok(())
    }

    fn replace(&mut self, sa: IpsecSa) -> Result<(), ChangeError> {
        let id = sa.id;
        sa.check()?;
        let Some(old) = self.sa(&id).filter(|old| old.instance == sa.instance) else {
            return Err(ChangeError::NotFound(id.to_string()));
        };
        self.check_parent(&sa)?;
        if key(&old) != key(&sa) || old.keys != sa.keys {
            return Err(RecordError::Fixed.into());
        }
        self.put(id, Some(Arc::new(sa)));
        Ok(())
    }

    fn check_parent(&self, sa: &IpsecSa) -> Result<(), ChangeError> {
        match sa.ike {
            Some(ike) if self.ike(&ike).is_none() => Err(ChangeError::NoIkeSa { id: sa.id, ike }),
            _ => Ok(()),
        }
    }

    fn write(self, control: &mut Control) -> Result<Commit, ChangeError> {
        let inner = self.inner;
        let mut batch = WriteBatch::new();
        // Also of an empty change: its commit waits for what was written before.
        batch.on(&inner.ipsec);
        for (id, sa) in &self.ike {
            self.stage_ike(&mut batch, *id, sa.as_ref());
        }
        let mut writes = Vec::new();
        let outline = |id| inner.ipsec.with(id, StoredSa::outline)?;
        let before: Vec<_> = self.order.iter().map(outline).collect();
        for (id, old) in self.order.iter().zip(&before) {
            let new = self.sas.get(id).and_then(Option::as_ref);
            if let Some(old) = old
                && new.is_none_or(|new| new.instance != old.instance)
            {
                let instance = old.instance;
                writes.push(Write::Remove { instance });
            }
            match new {
                Some(sa) => batch.on(&inner.ipsec).insert(*id, StoredSa::new(sa)),
                None => batch.on(&inner.ipsec).remove(*id),
            }
        }
        // What was inserted and is gone again within the change was never there.
        let there: HashSet<u64> = self.sas.values().flatten().map(|sa| sa.instance).collect();
        let inserted = self.inserted.iter().cloned();
        let stays = inserted.filter(|(key, _)| there.contains(&key.instance));
        writes.extend(stays.map(|(key, begin)| Write::Insert(key, begin)));
        if !writes.is_empty() {
            let counters = Arc::clone(&inner.counters);
            batch.with(Box::new(CounterPart { counters, writes }));
        }
        let ike_before: Vec<_> = self.ike.keys().map(|id| (*id, inner.ike.get(id))).collect();
        let commit = batch.commit()?;
        self.note(control, &before, &ike_before);
        Ok(commit)
    }

    fn stage_ike(&self, batch: &mut WriteBatch, id: IkeId, sa: Option<&Arc<IkeSa>>) {
        let inner = self.inner;
        match sa {
            Some(sa) => {
                batch.on(&inner.ike).insert(id, Arc::clone(sa));
                let progress = self.progress.get(&id).cloned();
                if progress.is_some() || !inner.progress.contains(&id) {
                    let progress = progress.unwrap_or_default();
                    batch.on(&inner.progress).insert(id, progress);
                }
            }
            None => {
                batch.on(&inner.ike).remove(id);
                batch.on(&inner.progress).remove(id);
            }
        }
    }

    /// The tables have changed: what is kept of them follows.
    fn note(
        &self,
        control: &mut Control,
        before: &[Option<Outline>],
        ike_before: &[(IkeId, Option<Arc<IkeSa>>)],
    ) {
        let paths = self.inner.paths.pin();
        let around = self.inner.around(control);
        for (id, old) in self.order.iter().zip(before) {
            let new = self.sas.get(id).and_then(Option::as_ref);
            if old.is_some() {
                // The next packet finds the new record.
                paths.remove(id);
            }
            if let Some(index) = &mut control.index {
                if let Some(old) = old {
                    index.remove(*id, old.ike);
                }
                if let Some(new) = new {
                    index.add(*id, new.ike);
                }
            }
            if let Some(new) = new
                && let Some(slot) = self.inner.ipsec.slot(id)
            {
                let (whose, new) = ((*id, slot), Outline::from(&**new));
                control.agenda.change(whose, old.as_ref(), &new, &around);
            }
        }
        for (id, old) in ike_before {
            let new = self.ike.get(id).and_then(Option::as_ref);
            if let Some(index) = &mut control.index {
                if let Some(old) = old {
                    index.remove_ike(*id, old);
                }
                if let Some(new) = new {
                    index.add_ike(*id, new);
                }
            }
            if let Some(new) = new
                && let Some(slot) = self.inner.ike.slot(id)
            {
                control.agenda.change_ike((*id, slot), new, &around);
            }
        }
    }
}

/// What the counters of an SA are named by.
fn key(sa: &IpsecSa) -> CounterKey {
    let space = SequenceSpace::new(sa.esn);
    let shape = match sa.direction {
        Direction::Outbound => Shape::Outbound {
            space,
            // At most `MAX_BUDGET`: the record was checked.
            budget: u32::try_from(sa.budget).unwrap_or(u32::MAX),
        },
        Direction::Inbound => Shape::Inbound {
            space,
            size: sa.window,
            policy: sa.policy,
            isolated: sa.isolated,
        },
    };
    CounterKey {
        instance: sa.instance,
        shape,
    }
}

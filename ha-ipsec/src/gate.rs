//! What the packet paths of all SAs of a group look at: may they run, and alone?

use crate::sync::{AtomicBool, Ordering};

/// Two switches that the control path sets and each packet reads.
///
/// The safety of a number or of an acceptance never rests on this: it rests on what was
/// acknowledged. The gate keeps a standby from sending, and lets an isolated unit use its budget.
#[derive(Debug)]
pub struct Gate {
    open: AtomicBool,
    isolated: AtomicBool,
}

impl Gate {
    /// Closed, not isolated: a unit that is not active.
    pub fn new() -> Self {
        Self {
            open: AtomicBool::new(false),
            isolated: AtomicBool::new(false),
        }
    }

    /// Whether packets may pass: this unit holds the active role.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Whether the control path has found that no standby can be reached, so that the autonomy
    /// budget of each SA may be used.
    #[inline]
    pub fn is_isolated(&self) -> bool {
        self.isolated.load(Ordering::Acquire)
    }

    /// Control path: opens or closes.
    pub fn set_open(&self, on: bool) {
        self.open.store(on, Ordering::Release);
    }

    /// Control path: grants or withdraws the autonomy budget.
    pub fn set_isolated(&self, on: bool) {
        self.isolated.store(on, Ordering::Release);
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

//! What must hold after each event, one promise a file.

pub(super) mod recovery;
pub(super) mod replay;
pub(super) mod sequence;

pub(super) use recovery::Recovers;
pub(super) use replay::NoReplayAccepted;
pub(super) use sequence::NoSequenceReuse;

//! Short texts that many records share.

use core::cell::RefCell;
use core::fmt;
use core::ops::Deref;
use std::sync::Arc;

/// The name of a piece of configuration: a crypto map, a profile, a device.
///
/// Thousands of SAs carry the same few names, so a clone shares the text, and names that one thread
/// decodes or makes share it as far as a small cache reaches. The empty name takes no memory.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Option<Arc<str>>);

impl Name {
    /// The longest name that a record may hold, in bytes of UTF-8.
    pub const MAX_BYTES: usize = 255;

    /// A name. One of more than [`MAX_BYTES`](Self::MAX_BYTES) bytes is refused by the check of
    /// the record that holds it.
    pub fn new(text: &str) -> Self {
        if text.is_empty() {
            return Self(None);
        }
        if text.len() > Self::MAX_BYTES {
            return Self(Some(text.into()));
        }
        Self(Some(shared(text)))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or("")
    }
}

/// The text from this thread's cache, which holds one name per place.
fn shared(text: &str) -> Arc<str> {
    thread_local! {
        static CACHE: RefCell<[Option<Arc<str>>; PLACES]> = const { RefCell::new([const { None }; PLACES]) };
    }
    CACHE.with_borrow_mut(|cache| {
        let place = &mut cache[place(text)];
        match place {
            Some(known) if **known == *text => Arc::clone(known),
            _ => Arc::clone(place.insert(text.into())),
        }
    })
}

/// Names differ at their end, if at all ("VPN-MAP-10").
fn place(text: &str) -> usize {
    let bytes = text.as_bytes();
    let tail = &bytes[bytes.len().saturating_sub(8)..];
    let sum = tail.iter().fold(bytes.len(), |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(*byte))
    });
    sum % PLACES
}

const PLACES: usize = 64;

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn equal_names_share_their_text() {
        let (one, two) = (Name::new("VPN-MAP"), Name::new("VPN-MAP"));
        assert!(Arc::ptr_eq(
            one.0.as_ref().unwrap(),
            two.0.as_ref().unwrap()
        ));
        assert_eq!(one, two);
        assert_eq!(one, "VPN-MAP");
    }

    #[test]
    fn names_in_one_place_stay_apart() {
        let names: Vec<_> = (0..10 * PLACES)
            .map(|n| Name::from(format!("map {n}")))
            .collect();
        for (n, name) in names.iter().enumerate() {
            assert_eq!(name.as_str(), format!("map {n}"));
        }
    }

    #[test]
    fn the_empty_name_is_no_text() {
        assert_eq!(Name::new(""), Name::default());
        assert_eq!(Name::default().as_str(), "");
    }
}

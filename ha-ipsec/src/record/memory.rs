//! What records cost in memory.

use super::{Authentication, IkeSa, IpsecSa, LinuxAttributes, NatT, Selector};

impl IpsecSa {
    /// The bytes that the record holds on the heap, without what the allocator adds. Names are
    /// shared, and not counted.
    pub fn heap_bytes(&self) -> usize {
        let selectors = self.local.capacity() + self.remote.capacity();
        let linux = self.linux.as_ref().map_or(0, |linux| {
            size_of::<LinuxAttributes>() + linux.security_context.len()
        });
        selectors * size_of::<Selector>()
            + self.keys.encryption.len()
            + self.keys.integrity.len()
            + self.nat_t.as_ref().map_or(0, |_| size_of::<NatT>())
            + linux
            + self.unknown.as_bytes().len()
    }
}

impl IkeSa {
    /// The bytes that the record holds on the heap, without what the allocator adds. Names are
    /// shared, and not counted.
    pub fn heap_bytes(&self) -> usize {
        let attributes = self.attributes.iter();
        self.local_identity.data.len()
            + self.remote_identity.data.len()
            + authentication(&self.local_authentication)
            + authentication(&self.authentication)
            + self.user.as_ref().map_or(0, String::capacity)
            + self.keys.each().map(|(_, key)| key.len()).sum::<usize>()
            + size_of_val(self.attributes.as_slice())
            + attributes.map(|it| it.value.len()).sum::<usize>()
            + self.unknown.as_bytes().len()
    }
}

fn authentication(it: &Authentication) -> usize {
    match it {
        Authentication::Certificate(certificate) => {
            let der = certificate.chain.iter().map(bytes::Bytes::len);
            size_of_val(&**certificate)
                + size_of_val(certificate.chain.as_slice())
                + der.sum::<usize>()
        }
        Authentication::Unknown(unknown) => unknown.0.len(),
        _ => 0,
    }
}

//! A replicated port-mapping table.
fn main() {}

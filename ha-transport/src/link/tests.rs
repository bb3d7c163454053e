//! Tests of links without a transport.

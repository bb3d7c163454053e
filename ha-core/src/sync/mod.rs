//! The few primitives that threads share, each with its loom model beside it.

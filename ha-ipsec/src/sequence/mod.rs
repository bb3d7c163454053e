//! Outbound sequence numbers: reserve, do not report.

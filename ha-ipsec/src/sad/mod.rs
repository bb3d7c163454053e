//! The SA database: tables, packet path, transactions.

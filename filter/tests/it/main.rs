//! Expressions, compared with Apache's and thrown at hard.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod apache_verdicts;
mod hostile;
mod no_allocation;

//! The desk: every request of both protocols passes it twice, when it comes and when it ends.
//!
//! ```text
//!   frame ─► row of its code ─► admit ─► ticket ─► run ─┬─ answered now ──────────────┐
//!   (rows)                       │                      ├─ task (disk) ─► reply ──────┤─► counted
//!                                └─► refused            └─ waits: a send, a long poll ┘
//! ```
//!
//! One table ([`rows`]) names each request with its handler, its kind of access and its resource.
//! So identity, permission, limits and statistics have one place: [`admit`] and [`counts`].
//!
//! Adding a request is one line in the table, one function in `requests/`, its body type in
//! `protocol`, and a test: CONTRIBUTING.md shows it.

pub(crate) mod admit;
pub(crate) mod code;
pub(crate) mod counts;
pub(crate) mod open;
pub(crate) mod reply;
pub(crate) mod row;
pub(crate) mod rows;

//! What runs beside requests.

pub(crate) mod registration;

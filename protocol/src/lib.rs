//! (being built)

pub mod config_file;

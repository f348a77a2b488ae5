//! Request and response codes, language codes and protocol versions, named as RocketMQ names them.

pub mod language;
pub mod request;
pub mod response;
pub mod version;

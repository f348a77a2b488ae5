//! JSON bodies of requests, within the limit for one.

use crate::answers::remoting::Refusal;
use crate::limits::JSON_BODY_BYTES_MAX;
use protocol::codes::response;
use protocol::json;
use protocol::remoting::CommandView;
use serde::de::DeserializeOwned;

/// Reads one.
pub(super) fn read<T: DeserializeOwned>(command: &CommandView<'_>) -> Result<T, Refusal> {
    if command.body.len() > JSON_BODY_BYTES_MAX {
        let remark =
            format!("body of {} bytes, at most {JSON_BODY_BYTES_MAX} are read", command.body.len());
        return Err(Refusal::new(response::SYSTEM_ERROR, remark));
    }
    json::from_lenient(command.body).map_err(|error| {
        Refusal::new(response::SYSTEM_ERROR, format!("the body can't be read: {error}"))
    })
}

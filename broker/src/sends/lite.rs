//! A message to a lite topic: it lies in its parent topic, and in the light message queue of the
//! child that its property `__LITE_TOPIC` names (`SendMessageProcessor`).
//!
//! The broker says which queue that is, whatever the sender says of it; the store adds the place in
//! it when it takes the message (`enableLmq` and `enableMultiDispatch`). Without the two keys the
//! message lies in its parent alone, as with Apache.

use crate::answers::remoting::Refusal;
use protocol::codes::response;
use protocol::lite;
use protocol::properties::{self, names};

/// Writes the property of a message to `topic`'s child `child`. `is_served`: there are light
/// message queues; then a name is refused that can be none of theirs.
pub(crate) fn write_property(
    out: &mut Vec<u8>,
    (topic, child): (&str, &str),
    is_served: bool,
) -> Result<(), Refusal> {
    out.clear();
    if is_served && !lite::is_child_name(topic, child) {
        let remark = format!(
            "the message is illegal: {child:?} can't be a lite topic of {topic} ($, / and commas \
             are not allowed, nor more than 255 bytes with its parent's name)"
        );
        return Err(Refusal::new(response::MESSAGE_ILLEGAL, remark));
    }
    if let Some(queue) = lite::queue(topic, child) {
        properties::write(out, names::INNER_MULTI_DISPATCH, &queue);
    }
    Ok(())
}

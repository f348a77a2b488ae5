//! The requests of lite topics: 200070 takes messages, 200071 subscribes, 200074 to 200079 are for
//! tools. Messages are acknowledged with 200051 and get another invisible time with 200053, with
//! the field `liteTopic`; Apache's broker does not serve 200072 either. What they do is in
//! [`crate::services::lite`].

pub(crate) mod ack;
pub(crate) mod group_info;
pub(crate) mod info;
pub(crate) mod pop;
pub(crate) mod subscribe;

//! `MQVersion` ordinals: two per release (snapshot, then release). Some servers' answers depend on
//! the sender's.

/// What this broker says it is: 5.5.0. Clients refuse SQL92 pulls below 232, so the answer's
/// version matters.
pub const V5_5_0: i32 = 513;
/// From here on RegisterBrokerBody's compressed form ends in the mapping section.
pub const V5_0_0: i32 = 413;
/// From here on a route request is answered in standard JSON (quoted numeric keys).
pub const V4_9_4: i32 = 401;
/// From here on `maxReconsumeTimes` of a send-back is honoured.
pub const V3_4_9: i32 = 121;
/// From here on REGISTER_BROKER carries a RegisterBrokerBody.
pub const V3_0_11: i32 = 37;
/// Newer clients understand GO_AWAY: this is the last release that does not.
pub const V5_3_1: i32 = 475;
/// A version past RocketMQ's table reads as this.
pub const HIGHER_VERSION: i32 = 612;
/// From here on a client takes a reset of its offsets (220) and says where it is (221).
pub const V3_0_7_SNAPSHOT: i32 = 28;
/// From here on a client says what it is doing (307) and handles a message at once (309).
pub const V3_1_8_SNAPSHOT: i32 = 62;

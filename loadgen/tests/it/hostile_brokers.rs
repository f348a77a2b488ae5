//! Brokers that fail: each message has one outcome, and the row says what is wrong with it.

use crate::fake_broker::{Sends, start_one};
use crate::program::Ended;

/// Every message that was sent has one outcome.
fn assert_conserved(ended: &Ended) {
    let (sent, planned) = (ended.count("sent"), ended.count("planned"));
    let outcomes = ["acknowledged", "failed", "unanswered"].map(|name| ended.count(name));
    assert_eq!(sent, outcomes.iter().sum::<u64>(), "{}", ended.result);
    assert!(planned >= sent, "{}", ended.result);
}

fn assert_never_answered(more: &[&str]) {
    let ended = Ended::run(start_one(Sends::NeverAnswered).addr, more);
    ended.assert_failed();
    assert_conserved(&ended);
    assert_eq!((ended.count("acknowledged"), ended.count("failed")), (0, 0));
    assert!(ended.is_invalid_because("requests had no answer"), "{}", ended.result);
    assert!(ended.is_invalid_because("no message was acknowledged"), "{}", ended.result);
}

#[test]
fn an_open_loop_counts_every_request_that_a_silent_broker_took() {
    assert_never_answered(&["--rate", "200"]);
}

#[test]
fn a_closed_loop_counts_every_request_that_a_silent_broker_took() {
    // No warm-up: the requests that wait in it would keep their places until they time out.
    assert_never_answered(&["--senders", "4", "--warmup", "0"]);
}

#[test]
fn errors_are_counted_apart_from_missing_answers_and_make_both_loops_invalid() {
    for more in [&["--rate", "200"][..], &["--senders", "2"]] {
        let ended = Ended::run(start_one(Sends::Refused).addr, more);
        ended.assert_failed();
        assert_conserved(&ended);
        assert!(ended.count("failed") > 0, "{}", ended.result);
        assert_eq!((ended.count("acknowledged"), ended.count("unanswered")), (0, 0));
        assert!(ended.is_invalid_because("(100.00 %) were answered with an error"));
        assert!(ended.said.contains("taught to refuse"), "the broker's words: {}", ended.said);
        assert!(ended.said.contains(", warm-up: "), "the warm-up's apart: {}", ended.said);
    }
}

#[test]
fn a_broker_that_dies_in_the_middle_leaves_a_row_that_says_so() {
    for more in [&["--rate", "500", "--duration", "1"][..], &["--in-flight", "4", "--warmup", "0"]]
    {
        let ended = Ended::run(start_one(Sends::DeathAfter(300)).addr, more);
        ended.assert_failed();
        assert_conserved(&ended);
        assert!(ended.is_invalid_because("1 of 1 connections were lost"), "{}", ended.result);
    }
}

#[test]
fn a_broker_that_is_gone_when_messages_are_read_back_costs_no_row() {
    let broker = start_one(Sends::DeathAfter(300));
    let ended = Ended::run(broker.addr, &["--consume", "--warmup", "0"]);
    ended.assert_failed();
    assert!(ended.count("acknowledged") > 0);
    let why = ended.result["ended_early"].as_str().unwrap();
    assert!(why.contains(&format!("broker {}", broker.addr)), "{why}");
}

#[test]
fn messages_that_a_dead_broker_never_got_count_as_planned() {
    let more = ["--rate", "500", "--duration", "1"];
    let ended = Ended::run(start_one(Sends::DeathAfter(300)).addr, &more);
    assert_eq!(ended.count("planned"), 500);
    assert!((1..500).contains(&ended.count("acknowledged")), "{}", ended.result);
    assert!(ended.is_invalid_because("answered in it (limit 99.9 %)"), "{}", ended.result);
}

#[test]
fn a_long_warmup_does_not_hide_a_broker_that_does_95_percent_of_the_rate() {
    // Before the window the backlog grows to 0.15 s. Answers to it come inside the window, and the
    // response time grows with it: neither may count.
    let broker = start_one(Sends::AtMost { per_s: 950.0 });
    let more = ["--rate", "1000", "--warmup", "3", "--duration", "0.5"];
    let ended = Ended::run(broker.addr, &more);
    ended.assert_failed();
    assert_conserved(&ended);
    assert!(ended.is_invalid_because("answered in it (limit 99.9 %)"), "{}", ended.result);
    assert_eq!(ended.count("acknowledged"), 500, "it answers all in the end: {}", ended.result);
}

#[test]
fn messages_from_the_future_are_faults_of_the_clocks_and_no_times() {
    let broker = start_one(Sends::ReadFromTheFuture);
    let more = ["--consume", "--rocketmq-lines", "--rate", "200", "--warmup", "0"];
    let ended = Ended::run(broker.addr, &more);
    let sent = broker.taken();
    let row = &ended.result["rows"][1];
    assert_eq!((row["kind"].as_str(), row["acknowledged"].as_u64()), (Some("consume"), Some(sent)));
    for fault in ["born", "stored"] {
        let note = format!("{sent} messages say that they were {fault} when or after");
        assert!(row["notes"].to_string().contains(&note), "{row}");
    }
    // As 1 ms each they made an average of 1 ms.
    assert!(ended.said.contains("AVG(B2C) RT(ms):   0.000"), "{}", ended.said);
}

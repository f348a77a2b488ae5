//! Arguments as people write them, and what is refused before anything starts.

use crate::fake_broker::{Sends, start_one};
use crate::program::{Ended, loadgen};

#[test]
fn absurd_values_are_refused_with_what_is_right() {
    for (flag, value) in [
        ("--warmup", "inf"),
        ("--warmup", "NaN"),
        ("--warmup", "-1"),
        ("--warmup", "1e300"),
        ("--warmup", "99999999h"),
        ("--duration", "0"),
        ("--duration", "-5s"),
        ("--rate", "inf"),
        ("--rate", "-1k/s"),
        ("--size", "1TiB"),
        ("--size", "1KiB/s"),
    ] {
        let ended = loadgen().args(["run", "-n", "127.0.0.1:1", flag, value]).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(2), "{flag} {value}: {said}");
        assert!(said.contains(flag) && said.contains(value), "{said}");
        assert!(said.contains("write ") || said.contains("must be "), "what is right: {said}");
    }
}

#[test]
fn units_are_understood_and_a_seed_repeats_the_load() {
    let fillers = |seed: &str| {
        let broker = start_one(Sends::Acknowledged);
        let more = ["--rate", "0.2k/s", "--duration", "300ms", "--warmup", "0s"];
        let more = [&more[..], &["--size", "1kB", "--shape", "poisson", "--seed", seed]].concat();
        let ended = Ended::run(broker.addr, &more);
        assert_eq!(ended.result["seed"].to_string(), seed);
        assert!(ended.said.contains(&format!("seed {seed}")), "{}", ended.said);
        assert_eq!((ended.count("size_bytes"), ended.row()["seconds"].as_f64()), (1000, Some(0.3)));
        let fillers = broker.bodies().iter().map(|body| body[56..].to_vec()).collect::<Vec<_>>();
        (ended.count("planned"), fillers)
    };
    let (first, again, other) = (fillers("7"), fillers("7"), fillers("8"));
    assert_eq!(first.0, again.0, "as many messages are due");
    // How many were sent is the machine's: those that were are the same.
    let both = first.1.iter().zip(&again.1);
    assert!(both.clone().count() > 0 && both.clone().all(|(one, two)| one == two));
    assert_ne!(first.1[0], other.1[0]);
}

#[test]
fn a_run_that_does_not_read_back_says_its_seed_without_being_given_one() {
    let ended = Ended::run(start_one(Sends::Acknowledged).addr, &["--rate", "100"]);
    let seed = ended.result["seed"].as_u64().unwrap();
    assert!(ended.said.contains(&format!("seed {seed}")), "{}", ended.said);
}

//! What a result says of how it came about, and that it can be read again.

use crate::fake_broker::{Sends, start_one};
use crate::program::Ended;
use loadgen::stored::Stored;

#[test]
fn a_result_names_all_that_makes_the_run_again() {
    let broker = start_one(Sends::Acknowledged);
    let more = ["--senders", "3", "--threads", "2", "--header", "binary", "--spin", "never"];
    let more = [&more[..], &["--seed", "77", "--rate", "300", "--shape", "poisson"]].concat();
    let ended = Ended::run(broker.addr, &more);
    let result = &ended.result;
    assert_eq!((result["schema"].as_u64(), result["seed"].as_u64()), (Some(2), Some(77)));
    assert!(result["command"].as_str().unwrap().starts_with("loadgen run --namesrv"), "{result}");
    assert_eq!(result["cores"]["generators"].as_array().unwrap().len(), 2);
    let load = &ended.row()["load"];
    assert_eq!(load["mode"]["open"]["rate"].as_f64(), Some(300.0));
    assert_eq!(load["mode"]["open"]["shape"].as_str(), Some("poisson"));
    let numbers = ["threads", "queues", "seed"].map(|name| load[name].as_u64().unwrap());
    assert_eq!(numbers, [2, 1, 77], "{load}");
    assert_eq!((load["spins"].as_bool(), load["header"].as_str()), (Some(false), Some("binary")));
    let seconds = ["warmup_s", "window_s"].map(|name| load[name].as_f64().unwrap());
    assert_eq!(seconds, [0.1, 0.5]);
    let config = &result["brokers"][0]["config"];
    assert_eq!(config["idleSpinMicros"].as_str(), Some("20"), "the broker's own: {result}");
    // The program's own, which build.rs gives this test too; not the working directory's.
    assert_eq!(result["revision"].as_str(), option_env!("LOADGEN_REVISION"), "{result}");
}

#[test]
fn a_stored_run_is_read_back_with_its_histograms() {
    let ended = Ended::run(start_one(Sends::Acknowledged).addr, &["--rate", "400"]);
    let stored = Stored::open(&ended.folder).unwrap();
    let row = &stored.result.rows[0];
    let recorder = row.recorder.as_ref().unwrap();
    assert_eq!(recorder.response.len(), ended.count("acknowledged"));
    let each = |times: Option<loadgen::row::Percentiles>| times.unwrap().each();
    // Not the mean: its last digit may change when it is written and read.
    let of = |histogram| each(loadgen::row::Percentiles::of(histogram));
    assert_eq!(of(&recorder.response), each(row.response));
    assert_eq!(of(&recorder.lag), each(row.lag));
    assert_eq!(serde_json::to_value(&stored.result).unwrap(), ended.result, "nothing is lost");
}

#[test]
fn no_percentile_is_written_from_too_few_messages() {
    let more = ["--rate", "100", "--duration", "0.5"];
    let ended = Ended::run(start_one(Sends::Acknowledged).addr, &more);
    let response = &ended.row()["response"];
    assert_eq!(response["count"].as_u64(), Some(50), "{response}");
    assert!(response["p50_us"].is_number() && response["p90_us"].is_null(), "{response}");
    let csv = std::fs::read_to_string(ended.folder.join("rows.csv")).unwrap();
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let (header, cells) = (lines.next().unwrap(), lines.next().unwrap());
    let cell = |name: &str| cells[header.iter().position(|it| *it == name).unwrap()];
    assert!(!cell("response_p50_us").is_empty() && cell("response_p99_us").is_empty(), "{csv}");
    let path = ended.folder.join(format!("openmessaging/{}.json", cell("name")));
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(file["publishLatency50pct"][0].is_number() && file["partitions"] == 1, "{file}");
    assert!(file["aggregatedPublishLatency99pct"].is_null(), "{file}");
}

#[test]
fn the_lines_of_rocketmqs_benchmark_are_on_standard_output() {
    let broker = start_one(Sends::Acknowledged);
    let more = ["--rocketmq-lines", "--report-interval", "200ms", "--duration", "1"];
    let ended = Ended::run(broker.addr, &[&more[..], &["--warmup", "1s"]].concat());
    let words = |line: &str| -> Vec<String> {
        line.split(" | ").map(|part| part.split(": ").next().unwrap().to_owned()).collect()
    };
    let said: Vec<&str> = ended.said.lines().collect();
    let lines: Vec<_> = said.iter().filter(|line| line.starts_with("Current Time: ")).collect();
    assert!(lines.len() >= 2, "{}", ended.said);
    let names = ["Send TPS", "Max RT(ms)", "Average RT(ms)", "Send Failed", "Response Failed"];
    for line in lines {
        assert_eq!(words(line)[1..], names, "{line}");
    }
    let last = said.iter().find(|line| line.starts_with("[Complete] ")).unwrap();
    assert_eq!(words(last)[0], "[Complete] Send Total", "{last}");
    assert_eq!(words(last)[1..], names, "{last}");
    let number = |part: &str| part.split(": ").nth(1).unwrap().parse::<u64>().unwrap();
    let parts: Vec<&str> = last.split(" | ").collect();
    let (total, tps) = (number(parts[0]), number(parts[1]));
    assert!(total > 0 && tps >= total, "the rate of one second, without its warm-up: {last}");
}

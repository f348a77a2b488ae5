//! The native protocol measured on the real broker: every message there, and the stages of a send
//! add up.

use crate::program::unless_the_disk_stands_still;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Runs `quick` over the native protocol and returns its result. A row may be INVALID on a loaded
/// machine, which is not what these tests are about.
fn quick(base: &Path, more: &[&str]) -> (Value, String) {
    let mut quick = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    quick.args([
        "quick",
        "--protocol",
        "native",
        "--seconds-per-phase",
        "0.4",
        "--threads",
        "2",
        "--json",
        "--broker-config",
        "mappedFileSizeCommitLog=67108864",
    ]);
    quick.args(more).arg("--out").arg(base.join("out")).arg("--dir").arg(base.join("store"));
    unless_the_disk_stands_still(|| {
        let _first_time = std::fs::remove_dir_all(base.join("out"));
        let ended = quick.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(matches!(ended.status.code(), Some(0 | 4)), "{:?}: {said}", ended.status);
        let result = String::from_utf8(ended.stdout).unwrap();
        let is_measured = !result.contains("no message was acknowledged in the measured window");
        (is_measured, (serde_json::from_str(&result).unwrap(), said))
    })
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

/// Checks every row of load; gives the mean of a stage in the first row.
fn check_stages(result: &Value) -> impl Fn(&str) -> f64 + '_ {
    let rows = result["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 5, "three closed loops, an open one, the read");
    for row in rows.iter().filter(|row| row["kind"] != "consume") {
        let stages = &row["stages"];
        assert_eq!(
            (row["protocol"].as_str(), stages["faults"].as_u64()),
            (Some("native"), Some(0)),
            "a stage would be negative: {row}"
        );
        assert_eq!(stages["messages"], row["acknowledged"], "every answer told its stages");
        let (sum, response) =
            (number(&stages["sum_of_means_us"]), number(&stages["response_mean_us"]));
        assert!(
            (sum - response).abs() <= 1e-6 * response,
            "stages {sum}, response time {response}"
        );
        let (service, lag) = (number(&stages["service_mean_us"]), number(&stages["lag_mean_us"]));
        assert!(
            (sum - lag - service).abs() <= 1e-6 * response,
            "stages without lag {}, service time {service}",
            sum - lag
        );
        // The histograms of the same times, which were recorded apart: three digits.
        for (exact, histogram) in [(response, &row["response"]), (service, &row["service"])] {
            let mean = number(&histogram["mean_us"]);
            assert!(
                (exact - mean).abs() <= 0.002 * mean + 0.001,
                "exact mean {exact}, the histogram's {mean}"
            );
        }
        for stage in stages["stages"].as_array().unwrap() {
            let max = number(&stage["times"]["max_us"]);
            let (p50, p99) = (&stage["times"]["p50_us"], &stage["times"]["p99_us"]);
            // From too few messages a percentile is not printed.
            let p99 = p99.as_f64().unwrap_or(max);
            let p50 = p50.as_f64().unwrap_or(p99);
            assert!(
                0.0 <= p50 && p50 <= p99 && p99 <= max && number(&stage["mean_us"]) <= max,
                "{stage}"
            );
        }
    }
    move |name| {
        let stages = rows[0]["stages"]["stages"].as_array().unwrap();
        number(&stages.iter().find(|stage| stage["name"] == name).unwrap()["mean_us"])
    }
}

fn check_integrity(result: &Value) {
    let integrity = &result["integrity"];
    assert!(integrity["acknowledged"].as_u64().unwrap() > 0, "{integrity}");
    for fault in ["lost", "duplicated", "reordered", "corrupt", "misplaced", "gaps", "foreign"] {
        assert_eq!(integrity[fault], 0, "{integrity}");
    }
    assert_eq!(integrity["incomplete"], Value::Null);
}

#[test]
fn stages_add_up_to_service_time_and_with_async_flush_nothing_waits_for_the_disk() {
    let base = tempfile::tempdir().unwrap();
    let (result, _) = quick(base.path(), &["--no-floor", "--shards", "2"]);
    check_integrity(&result);
    let mean_us = check_stages(&result);
    assert_eq!((mean_us("flush wait"), mean_us("replication wait")), (0.0, 0.0));
    assert!(mean_us("append") > 0.0 && mean_us("network + loop") > 0.0);
}

#[test]
fn with_sync_flush_the_wait_for_the_disk_is_a_stage_of_its_own() {
    let base = tempfile::tempdir().unwrap();
    let (result, _) = quick(base.path(), &["--flush", "sync"]);
    check_integrity(&result);
    let mean_us = check_stages(&result);
    assert!(
        mean_us("flush wait") > mean_us("append"),
        "flush wait {} µs, append {} µs",
        mean_us("flush wait"),
        mean_us("append")
    );
    assert!(
        result["rows"][0]["floor"]["rate_per_s"].as_f64().unwrap() > 0.0,
        "the no-op target speaks the native protocol too"
    );
    let folder = std::fs::read_dir(base.path().join("out"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.is_dir())
        .unwrap();
    let summary = std::fs::read_to_string(folder.join("summary.txt")).unwrap();
    for part in [
        "native protocol",
        "where the time went",
        "client queue",
        "network + loop",
        "flush wait",
        "mean",
        "p99",
    ] {
        assert!(summary.contains(part), "no {part:?} in {summary}");
    }
    let report = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(report.contains("Where the time of a send went"));
    assert!(
        folder.join("hgrm/closed-1x1-stage-flush-wait.hgrm").exists()
            && folder.join("hgrm/closed-1x1-stage-network-loop.hgrm").exists()
    );
}

/// Children of a test: stopped however it ends.
pub(crate) struct Children(pub(crate) Vec<std::process::Child>);

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _gone = child.kill();
            let _gone = child.wait();
        }
    }
}

impl Children {
    /// Starts a server of loadgen's own, with these keys of its configuration.
    fn start(&mut self, program: &str, keys: &[(&str, &str)]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
        command.arg(program).arg("--exit-with-parent");
        for (key, value) in keys {
            command.args(["--set", &format!("{key}={value}")]);
        }
        command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        self.0.push(command.spawn().unwrap());
    }

    /// A name server and one broker; the name server's address.
    pub(crate) fn start_cluster(&mut self, base: &std::path::Path, flush: &str) -> String {
        self.start_cluster_in(base, &base.join("store"), flush)
    }

    /// The same with the broker's store in this folder.
    pub(crate) fn start_cluster_in(
        &mut self,
        base: &std::path::Path,
        store: &std::path::Path,
        flush: &str,
    ) -> String {
        self.start_cluster_with(base, store, &[("flushDiskType", flush)])
    }

    /// The same with these settings of the broker.
    pub(crate) fn start_cluster_with(
        &mut self,
        base: &std::path::Path,
        store: &std::path::Path,
        settings: &[(&str, &str)],
    ) -> String {
        let port = || loadgen::children::free_port().unwrap().to_string();
        let path = |name: &str| base.join(name).display().to_string();
        let namesrv_port = port();
        self.start(
            "mqnamesrv",
            &[
                ("listenPort", &namesrv_port),
                ("bindAddress", "127.0.0.1"),
                ("kvConfigPath", &path("kv.json")),
            ],
        );
        let namesrv = format!("127.0.0.1:{namesrv_port}");
        let (listen, store) = (port(), store.display().to_string());
        let own = [
            ("brokerName", "broker-a"),
            ("brokerIP1", "127.0.0.1"),
            ("namesrvAddr", &namesrv),
            ("mappedFileSizeCommitLog", "67108864"),
            ("listenPort", &listen),
            ("storePathRootDir", &store),
        ];
        self.start("mqbroker", &[&own, settings].concat());
        namesrv
    }
}

/// The result of a short native run against a cluster that may still be starting.
fn measure(namesrv: &str, out: &std::path::Path) -> Value {
    let start = std::time::Instant::now();
    loop {
        let ended = Command::new(env!("CARGO_BIN_EXE_loadgen"))
            .args(["run", "--namesrv", namesrv, "--protocol", "native"])
            .args(["--senders", "4", "--in-flight", "2", "--duration", "0.4", "--warmup", "0.1"])
            .args(["--consume", "--no-floor", "--json", "--out"])
            .arg(out)
            .output()
            .unwrap();
        // A busy machine may do nothing in the window.
        let is_measured = |result: &Value| result["rows"][0]["acknowledged"].as_u64() > Some(0);
        if let Ok(result) = serde_json::from_slice::<Value>(&ended.stdout)
            && is_measured(&result)
        {
            return result;
        }
        // Not up yet: an error that names what is missing.
        assert!(
            start.elapsed() < std::time::Duration::from_secs(60),
            "{}",
            String::from_utf8_lossy(&ended.stderr)
        );
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn a_running_cluster_is_measured_natively_and_says_how_durable_it_is() {
    let base = tempfile::tempdir().unwrap();
    let mut children = Children(Vec::new());
    let namesrv = children.start_cluster(base.path(), "SYNC_FLUSH");
    let result = measure(&namesrv, &base.path().join("out"));
    check_integrity(&result);
    assert_eq!(
        (result["rows"][0]["stages"]["faults"].as_u64(), result["rows"][0]["name"].as_str()),
        (Some(0), Some("closed-4x2"))
    );
    assert!(
        result["durability"].as_str().unwrap().starts_with("SYNC_FLUSH"),
        "{}",
        result["durability"]
    );
    assert!(result["name"].as_str().unwrap().contains("run-native-closed-4x2"));
}

#[test]
fn a_broker_that_does_not_speak_the_native_protocol_is_an_error_that_names_it() {
    let mut listener = std::net::TcpStream::connect(crate::fake_broker::start(None)).unwrap();
    let error = loadgen::native_wire::greet(&mut listener, "127.0.0.1:9".parse().unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains("greet, over the native protocol, broker 127.0.0.1:9"), "{error}");
}

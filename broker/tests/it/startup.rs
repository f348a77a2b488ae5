//! Starting, and not starting with the reason and the fix.

use crate::cluster::{Cluster, eventually, run_broker};
use std::process::Output;

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_greeting_says_what_runs() {
    let mut cluster = Cluster::start(2, &["putMsgIndexHightWater=4", "noSuchKey=1"]);
    let said = cluster.broker.said();
    let (first, second) = (cluster.port, cluster.port + 10);
    for expected in [
        "RingMQ 0.1.0, compatible with RocketMQ 5.5.0".to_owned(),
        format!("ports {first} and {}, {} for slaves", first - 2, first + 1),
        format!("ports {second} and {}, {} for slaves", second - 2, second + 1),
        "flush ASYNC_FLUSH".to_owned(),
        format!("The broker[broker-a-s0, 127.0.0.1:{first}] boot success. serializeType=JSON"),
        format!("The broker[broker-a-s1, 127.0.0.1:{second}] boot success. serializeType=JSON"),
    ] {
        assert!(said.contains(&expected), "{expected:?} in {said}");
    }
    eventually("the log names the keys", || {
        let log = cluster.broker.log();
        log.contains("putMsgIndexHightWater has no effect here")
            && log.contains("unknown key noSuchKey")
    });
    cluster.broker.signal("INT");
    assert_eq!(cluster.broker.wait(), Some(0));
}

#[test]
fn a_wrong_configuration_names_file_line_key_and_what_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("broker.properties");
    let path = file.to_str().unwrap();
    for (text, expected) in [
        (
            "brokerName=b\nlistenPort=abc\n",
            ["broker.properties:2", "listenPort", "\"abc\"", "accepted"],
        ),
        ("flushDiskType=NEVER\n", ["broker.properties:1", "flushDiskType", "NEVER", "SYNC_FLUSH"]),
        ("brokerRole=SLAVE\n", ["brokerId", "0", "above 0", "brokerRole=SLAVE"]),
        ("shardCores=0-9999\n", ["broker.properties:1", "shardCores", "0-9999", "accepted"]),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = run_broker(&["-c", path]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(expected.iter().all(|part| said.contains(part)), "{expected:?} in {said}");
    }
    let missing = run_broker(&["-c", "/nowhere/broker.properties"]);
    assert!(!missing.status.success() && stderr(&missing).contains("/nowhere/broker.properties"));
}

#[test]
fn a_taken_port_and_a_taken_store_say_the_fix() {
    let cluster = Cluster::start(1, &[]);
    let dir = tempfile::tempdir().unwrap();
    let (port, ip) = (format!("listenPort={}", cluster.port), "brokerIP1=127.0.0.1");
    let other_store = format!("storePathRootDir={}", dir.path().display());
    let output = run_broker(&["--set", &port, "--set", ip, "--set", &other_store]);
    let said = stderr(&output);
    assert!(
        !output.status.success() && said.contains("already in use") && said.contains("Fix:"),
        "{said}"
    );
    let same_store = format!("storePathRootDir={}", cluster.store().display());
    let output = run_broker(&["--set", "listenPort=61911", "--set", ip, "--set", &same_store]);
    let said = stderr(&output);
    assert!(
        !output.status.success() && said.contains("another process has this store open"),
        "{said}"
    );
    cluster.client(0).put("T", "", "the one that runs is undisturbed");
}

#[test]
fn the_configuration_is_printed_and_the_help_teaches() {
    let all = run_broker(&["-p", "-n", "localhost:9876", "--set", "brokerName=x"]);
    let all = String::from_utf8_lossy(&all.stdout).into_owned();
    assert!(
        ["namesrvAddr=localhost:9876", "brokerName=x", "deleteWhen=04", "shardCount=1"]
            .iter()
            .all(|line| all.contains(line)),
        "{all}"
    );
    let important = run_broker(&["-m"]);
    let important = String::from_utf8_lossy(&important.stdout).into_owned();
    assert!(important.contains("listenPort=10911") && !important.contains("putMsgIndexHightWater"));
    let help = run_broker(&["--help"]);
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(help.contains("mqbroker -c broker-a.properties") && help.contains("shardCount"));
}

#[test]
fn a_lost_name_server_is_named_once_and_the_broker_works_on() {
    let mut cluster = Cluster::start(1, &[]);
    cluster.client(0).put("T", "", "x");
    eventually("registered", || cluster.brokers_of("T") == ["broker-a"]);
    cluster.name_server.signal("KILL");
    cluster.name_server.wait();
    eventually("it is named", || {
        cluster.broker.log().contains(&format!("name server {} is lost", cluster.name_server_addr))
    });
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert_eq!(cluster.broker.log().matches("trying again every 2 s").count(), 1);
    cluster.client(0).put("T", "", "and the broker works on");
}

#[test]
fn a_fresh_broker_with_defaults_is_small() {
    let cluster = Cluster::start(1, &["mappedFileSizeCommitLog=1073741824"]);
    let peak = cluster.broker.resident_bytes_peak();
    assert!(peak <= 32 << 20, "{peak} bytes resident");
}

#[test]
fn an_idle_broker_uses_next_to_no_cpu() {
    let cluster = Cluster::start(1, &[]);
    let mut client = cluster.client(0);
    client.put("T", "", "what it stores is on disk soon");
    for level in 4..=18 {
        // Due in 30 s and more: a level that has something to wait for does not poll either.
        crate::delay::put_delayed(&mut client, "T", level, "waits");
    }
    std::thread::sleep(std::time::Duration::from_secs(2));
    let (started, before) = (std::time::Instant::now(), cluster.broker.cpu_time());
    std::thread::sleep(std::time::Duration::from_secs(10));
    // CPU time, not wall time: a busy machine does not add to it.
    let share =
        (cluster.broker.cpu_time() - before).as_secs_f64() / started.elapsed().as_secs_f64();
    println!("{:.2} % of a core", share * 100.0);
    assert!(share < 0.02, "{:.2} % of a core", share * 100.0);
}

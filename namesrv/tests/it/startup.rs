//! What whoever starts the program is told, and how it stops.

use crate::server::{Server, eventually, run};
use crate::wire::{Client, Requests};
use std::fs;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn sigterm_and_sigint_stop_it_with_exit_code_0() {
    for signal in ["TERM", "INT"] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path(), &[]);
        let mut client = Client::connect(server.addr);
        assert!(client.route("T").is_none());
        assert_eq!(server.signal(signal), Some(0), "{signal}");
        assert!(client.is_closed());
    }
}

#[test]
fn p_prints_every_value_in_force_and_stops() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("n.properties");
    fs::write(&file, "listenPort=9877  // the second one\nenableTopicList = FALSE\n").unwrap();
    let out = run(&["-c", file.to_str().unwrap(), "-p"]);
    let printed = text(&out.stdout);
    assert_eq!(out.status.code(), Some(0));
    for line in [
        "listenPort=9877",
        "enableTopicList=false",
        "scanNotActiveBrokerInterval=5000",
        "bindAddress=0.0.0.0",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line} is missing in:\n{printed}");
    }
    assert!(printed.contains(&format!("configStorePath={}", file.display())), "{printed}");
}

#[test]
fn a_wrong_value_stops_the_start_naming_file_line_key_and_what_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("n.properties");
    fs::write(&file, "# name server\nlistenPort=many\n").unwrap();
    let out = run(&["-c", file.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(1));
    let expected = format!(
        "mqnamesrv: {}:2: listenPort is \"many\"; accepted: an integer from 0 to 65535\n",
        file.display()
    );
    assert_eq!(text(&out.stderr), expected);
    let out = run(&["-c", "/no/such/file"]);
    assert!(
        !out.status.success() && text(&out.stderr).contains("/no/such/file: "),
        "{}",
        text(&out.stderr)
    );
    let out = run(&["--set", "listenPort"]);
    assert!(
        !out.status.success() && text(&out.stderr).contains("write KEY=VALUE"),
        "{}",
        text(&out.stderr)
    );
}

#[test]
fn an_unknown_key_is_a_warning_with_the_nearest_known_one() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["listenport=1", "defaultThreadPoolNums=4"]);
    eventually("both warnings are logged", || {
        let log = server.log();
        log.contains("unknown key listenport, ignored (did you mean listenPort?)")
            && log.contains("defaultThreadPoolNums has no effect here")
    });
}

#[test]
fn a_taken_port_is_an_error_that_says_the_fix() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let port = format!("listenPort={}", server.addr.port());
    let out = run(&["--set", &port, "--set", "bindAddress=127.0.0.1"]);
    let said = text(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&server.addr.to_string())
            && said.contains("already in use")
            && said.contains("Fix: "),
        "{said}"
    );
}

#[test]
fn the_help_teaches_and_lists_the_keys() {
    let help = text(&run(&["--help"]).stdout);
    assert!(
        help.contains("mqnamesrv -c namesrv.properties -p")
            && help.contains("scanNotActiveBrokerInterval (default 5000"),
        "{help}"
    );
    assert!(text(&run(&["-h"]).stdout).contains("Examples:"));
}

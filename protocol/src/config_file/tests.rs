//! Properties of the reader and of the checks against a table.

use super::*;

const TABLE: &[Key] = &[
    Key::text("brokerClusterName", "DefaultCluster", "the cluster"),
    Key::text("brokerName", "", "the broker"),
    Key::int("brokerId", 0, i64::MAX, "0", "0 is the master"),
    Key::text("namesrvAddr", "", "name servers"),
    Key::int("listenPort", 1, 65535, "10911", "where it listens"),
    Key::bool("autoCreateTopicEnable", "true", "create topics on first send"),
    Key::choice(
        "flushDiskType",
        &["ASYNC_FLUSH", "SYNC_FLUSH"],
        "ASYNC_FLUSH",
        "when a send is answered",
    ),
    Key::int("sendMessageThreadPoolNums", 1, 1024, "1", "threads")
        .without_effect("a core is one thread"),
];

fn settings(text: &str) -> Result<Settings, ConfigError> {
    Settings::resolve(TABLE, &Properties::parse("b.properties", text.as_bytes()).unwrap())
}

#[test]
fn the_seeds_file_reads_as_its_author_meant_it() {
    let bytes = include_bytes!("../../tests/fixtures/seed-broker-a.properties");
    let properties = Properties::parse("broker-a.properties", bytes).unwrap();
    let settings = Settings::resolve(TABLE, &properties).unwrap();
    assert_eq!(settings.text("brokerClusterName"), "DefaultCluster");
    assert_eq!(settings.text("brokerName"), "broker-a");
    assert_eq!(settings.i64("brokerId"), 0);
    assert_eq!(settings.text("namesrvAddr"), "localhost:9876;localhost:9877");
    assert_eq!(settings.place("namesrvAddr"), &Place::Line(4));
    assert!(settings.notes().is_empty(), "{:?}", settings.notes());
}

#[test]
fn a_url_or_a_network_path_is_not_a_comment() {
    let text = "a=http://host/x\nb=http://host/x // the real one\nc=//server/share\nd= // \
        nothing yet\ne=x //\n";
    let properties = Properties::parse("f", text.as_bytes()).unwrap();
    let value = |key: &str| properties.get(key).unwrap().value.as_str();
    assert_eq!(value("a"), "http://host/x");
    assert_eq!(value("b"), "http://host/x");
    assert_eq!(value("c"), "//server/share");
    assert_eq!(value("d"), "");
    assert_eq!(value("e"), "x");
}

#[test]
fn latin_1_bytes_are_read_as_java_reads_them() {
    let properties = Properties::parse("f", b"name=caf\xe9\nother=\\u00e9").unwrap();
    assert_eq!(properties.get("name").unwrap().value, "café");
    assert_eq!(properties.get("other").unwrap().value, "é");
}

#[test]
fn lines_are_counted_over_comments_blank_and_joined_lines() {
    let properties = Properties::parse("f", b"# c\n\na=1\nb=2,\\\n  3\r\nc : 4\nlast=5\\").unwrap();
    let lines: Vec<_> = properties
        .iter()
        .map(|(key, entry)| (key, entry.value.as_str(), entry.place.clone()))
        .collect();
    let expected = [
        ("a", "1", Place::Line(3)),
        ("b", "2,3", Place::Line(4)),
        ("c", "4", Place::Line(6)),
        ("last", "5", Place::Line(7)),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_wrong_value_names_file_line_key_and_what_is_accepted() {
    let message = |text: &str| settings(text).unwrap_err().to_string();
    assert_eq!(
        message("\nlistenPort=x"),
        r#"b.properties:2: listenPort is "x"; accepted: an integer from 1 to 65535"#
    );
    assert_eq!(
        message("listenPort=70000"),
        r#"b.properties:1: listenPort is "70000"; accepted: an integer from 1 to 65535"#
    );
    assert_eq!(
        message("brokerId=-1"),
        r#"b.properties:1: brokerId is "-1"; accepted: an integer of at least 0"#
    );
    assert_eq!(
        message("autoCreateTopicEnable=yes"),
        r#"b.properties:1: autoCreateTopicEnable is "yes"; accepted: true or false"#
    );
    assert_eq!(
        message("flushDiskType=NEVER"),
        r#"b.properties:1: flushDiskType is "NEVER"; accepted: ASYNC_FLUSH, SYNC_FLUSH"#
    );
}

#[test]
fn bad_escapes_and_huge_files_are_errors() {
    let error = Properties::parse("f", b"ok=1\na=\\u12g4").unwrap_err();
    assert!(error.to_string().starts_with("f:2: "), "{error}");
    let error = Properties::parse("f", &vec![b'a'; (1 << 20) + 1]).unwrap_err();
    assert!(matches!(error, ConfigError::TooLarge { found_bytes: 1_048_577, .. }), "{error}");
}

#[test]
fn an_unknown_key_is_a_note_with_the_nearest_known_one() {
    let notes = |text: &str| {
        settings(text).unwrap().notes().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        notes("\nlistenport=1"),
        ["b.properties:2: unknown key listenport, ignored (did you mean listenPort?)"]
    );
    assert_eq!(notes("zzz=1"), ["b.properties:1: unknown key zzz, ignored"]);
    assert_eq!(
        notes("brokerId=1\nbrokerId=2"),
        ["b.properties:2: brokerId replaces its value of line 1"]
    );
    assert_eq!(
        notes("sendMessageThreadPoolNums=9"),
        ["b.properties:1: sendMessageThreadPoolNums has no effect here: a core is one thread"]
    );
}

#[test]
fn the_command_line_goes_over_the_file_and_is_named_in_errors() {
    let mut properties = Properties::parse("f", b"namesrvAddr=a:1").unwrap();
    properties.set("namesrvAddr", "b:2", "-n");
    properties.set_if_absent("namesrvAddr", "c:3", "NAMESRV_ADDR");
    properties.set_if_absent("listenPort", "many", "LISTEN_PORT");
    assert_eq!(properties.get("namesrvAddr").unwrap().value, "b:2");
    let error = Settings::resolve(TABLE, &properties).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"LISTEN_PORT: listenPort is "many"; accepted: an integer from 1 to 65535"#
    );
}

#[test]
fn print_shows_every_key_and_reads_back_the_same() {
    let first =
        settings("brokerName=broker-a\nflushDiskType=sync_flush\nautoCreateTopicEnable=FALSE")
            .unwrap();
    let printed = first.print();
    assert!(printed.contains("\nflushDiskType=SYNC_FLUSH\n"), "{printed}");
    assert_eq!(printed.lines().count(), TABLE.len());
    assert_eq!(settings(&printed).unwrap().print(), printed);
    assert!(!first.bool("autoCreateTopicEnable"));
    assert_eq!(first.int::<u16>("listenPort"), 10911);
}

#[test]
fn a_running_value_changes_only_to_an_accepted_one() {
    let mut settings = settings("").unwrap();
    settings.update("listenPort", "1234", "request").unwrap();
    let error = settings.update("listenPort", "0", "request").unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"request: listenPort is "0"; accepted: an integer from 1 to 65535"#
    );
    assert_eq!(settings.i64("listenPort"), 1234);
}

proptest::proptest! {
    #[test]
    fn any_bytes_give_properties_or_an_error(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400),
    ) {
        if let Ok(properties) = Properties::parse("f", &bytes) {
            let _ = Settings::resolve(TABLE, &properties).map(|settings| settings.print());
        }
    }
}

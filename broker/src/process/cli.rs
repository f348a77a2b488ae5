//! The command line of `mqbroker`: RocketMQ's options, and a help text that teaches.

use crate::config::KEYS;
use clap::Parser;
use protocol::config_file::Settings;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  mqnamesrv &                         the name server, on port 9876
  mqbroker -n localhost:9876          a broker with defaults: port 10911, store in $HOME/store
  mqbroker -c broker-a.properties     a RocketMQ configuration file
  mqbroker -n localhost:9876 -c two.properties
                                      with `shardCount=2` in the file: two pinned shards,
                                      brokers NAME-s0 on port 10911 and NAME-s1 on port 10921
  mqbroker -c broker-a.properties --set listenPort=20911
                                      one key over what the file says; may be repeated
  mqbroker -c broker-a.properties -m  what would be in force
  mqbroker -c slave.properties --become SYNC_MASTER
                                      promotes the slave that runs with this file

A message is acknowledged when it survives the process (ASYNC_FLUSH, the default: its memory lies on
/dev/shm and outlives a kill; `tailPath=` gives that up), with flushDiskType=SYNC_FLUSH when it
survives a power cut. Where /dev/shm does not outlive the process, the greeting says so.
`mqbroker --help` lists every configuration key that works.";

/// What `brokerRole` may be.
const ROLES: [&str; 3] = ["ASYNC_MASTER", "SYNC_MASTER", "SLAVE"];

/// RingMQ's broker: Apache RocketMQ's protocol, one shard per core.
#[derive(Debug, Parser)]
#[command(name = "mqbroker", version, after_help = EXAMPLES, after_long_help = long_help())]
pub(super) struct Cli {
    /// Name servers, ';' between them: 127.0.0.1:9876;127.0.0.1:9877
    #[arg(short = 'n', long = "namesrvAddr", value_name = "HOST:PORT;…")]
    pub(super) namesrv: Option<String>,

    /// Configuration file (RocketMQ's .properties)
    #[arg(short = 'c', long = "configFile", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Set one key over the file's value; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(super) set: Vec<(String, String)>,

    /// Change the role of the broker that runs with the configuration file (ASYNC_MASTER,
    /// SYNC_MASTER, SLAVE): writes it into the file, has the broker start anew, and ends
    #[arg(long = "become", value_name = "ROLE", value_parser = ROLES, requires = "config")]
    pub(super) role: Option<String>,

    /// Start a slave on an empty store: what is there is put aside, into replaced-TIME beside it
    #[arg(long = "rebuild-slave")]
    pub(super) rebuild_slave: bool,

    /// Print all configuration keys with the values in force, and end
    #[arg(short = 'p', long = "printConfigItem")]
    pub(super) print: bool,

    /// Print the keys that work, and end
    #[arg(short = 'm', long = "printImportantConfig")]
    pub(super) print_important: bool,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| "write KEY=VALUE, for example listenPort=20911".to_owned())?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

fn long_help() -> String {
    format!("{EXAMPLES}\n\nConfiguration keys that work:\n{}", Settings::help(&KEYS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_takes_rocketmqs_options() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
        let cli = Cli::parse_from([
            "mqbroker",
            "-n",
            "a:1;b:2",
            "-c",
            "f",
            "-m",
            "--set",
            "shardCount=2",
        ]);
        assert_eq!(cli.set, [("shardCount".to_owned(), "2".to_owned())]);
        assert_eq!(
            (cli.namesrv.as_deref(), cli.print_important, cli.print),
            (Some("a:1;b:2"), true, false)
        );
    }

    #[test]
    fn the_help_names_the_keys_that_work() {
        assert!(long_help().contains("shardCount") && long_help().contains("brokerIP1"));
        assert!(!long_help().contains("messageStorePlugIn"), "it has no effect");
    }
}

//! The command line: RocketMQ's `-c` and `-p`, and a help that teaches.

use crate::config::{Config, KEYS};
use clap::Parser;
use protocol::config_file::{ConfigError, Properties, Settings};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  mqnamesrv                              listen on 0.0.0.0:9876
  mqnamesrv -c namesrv.properties        with a configuration file (RocketMQ's format and keys)
  mqnamesrv --set listenPort=9877        one key without a file
  mqnamesrv -c namesrv.properties -p     show what would be in force, and stop

Then start brokers with `mqbroker -n host:9876` and give clients the same address.
For availability run two or more: they know nothing of each other, every broker registers with
each, and clients get the list `host1:9876;host2:9876`.
SIGINT and SIGTERM stop it gracefully. RUST_LOG=debug logs every connection.

Keys:";

/// RingMQ's name server: brokers register here, clients ask here where a topic is.
#[derive(Debug, Parser)]
#[command(name = "mqnamesrv", version, about, max_term_width = 120)]
pub(crate) struct Args {
    /// Configuration file in RocketMQ's `.properties` format
    #[arg(short = 'c', long = "configFile", value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// Print all configuration values in force, and exit
    #[arg(short = 'p', long = "printConfigItem")]
    pub print_config: bool,
    /// Set one key over the file's value; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| "write KEY=VALUE, for example listenPort=9877".to_owned())?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// Why the command line gives no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The file can't be read.
    #[error("{}: {error}. Fix: give -c the path of a readable .properties file", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// What it says is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Args {
    /// Parses a command line, program name included. The error is clap's: a message or the help,
    /// with its exit code.
    pub(crate) fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        use clap::{CommandFactory, FromArgMatches};
        let command = Self::command().after_help(EXAMPLES.trim_end_matches("\n\nKeys:"));
        let command = command.after_long_help(format!("{EXAMPLES}\n{}", Settings::help(KEYS)));
        Self::from_arg_matches(&command.try_get_matches_from(args)?)
    }

    /// Reads the file and lays the command line over it.
    pub(crate) fn config(&self) -> Result<Config, CliError> {
        let mut properties = match &self.config_file {
            Some(path) => {
                let bytes = std::fs::read(path)
                    .map_err(|error| CliError::Unreadable { path: path.clone(), error })?;
                let mut properties = Properties::parse(&path.display().to_string(), &bytes)?;
                properties.set_if_absent("configStorePath", &path.display().to_string(), "-c");
                properties
            }
            None => Properties::default(),
        };
        for (key, value) in &self.set {
            properties.set(key, value, "--set");
        }
        if let Ok(home) = std::env::var("ROCKETMQ_HOME") {
            properties.set_if_absent("rocketmqHome", &home, "ROCKETMQ_HOME");
        }
        Ok(Config::resolve(properties, std::env::var("HOME").ok().as_deref())?)
    }
}

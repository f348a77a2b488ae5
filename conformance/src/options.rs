//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand, ValueEnum};

use crate::language::{self, Language};

/// Stock clients against the real broker and name servers.
#[derive(Debug, Parser)]
#[command(version, about)]
pub(crate) struct Options {
    /// Whose broker and name servers are put to the test.
    #[arg(long, value_enum, default_value_t = Against::Ringmq)]
    pub(crate) against: Against,
    /// The client: a version of the Java client, or another language.
    #[arg(long, value_enum, default_value_t = ClientChoice::All)]
    pub(crate) client: ClientChoice,
    /// How many shards RingMQ's broker has; of Apache's brokers, so many masters.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=2))]
    pub(crate) shards: u16,
    /// Only the scenarios of these names (may be given several times).
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// All scenarios but those of these names (may be given several times).
    #[arg(long, value_name = "NAME", conflicts_with = "only")]
    pub(crate) not: Vec<String>,
    /// Every M-th scenario and language, from the N-th on: parts can be played side by side.
    #[arg(long, value_name = "N/M", default_value = "1/1")]
    pub(crate) part: Part,
    /// Leave out languages for which this machine lacks something, and say so.
    #[arg(long)]
    pub(crate) skip_missing: bool,
    /// Keep the folder with logs and stores, and say where it is.
    #[arg(long)]
    pub(crate) keep: bool,
    /// List the scenarios and stop.
    #[arg(long)]
    pub(crate) list: bool,
    /// Take mqnamesrv and mqbroker from this folder instead of building them.
    #[arg(long, value_name = "DIR")]
    pub(crate) bin_dir: Option<PathBuf>,
    /// Something else than running the suite.
    #[command(subcommand)]
    pub(crate) action: Option<Action>,
}

/// What to do instead of running the suite.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Record what the Java clients and Apache's servers send, one frame per file.
    Capture {
        /// The folder for the frames; existing ones are replaced.
        #[arg(long, value_name = "DIR", default_value = "protocol/tests/fixtures/java")]
        into: PathBuf,
    },
    /// Make the store that plain tests open: Apache's broker writes it and is stopped in good
    /// order.
    Fixture {
        /// The folder for the packed store and the list of what is in it.
        #[arg(long, value_name = "DIR", default_value = "broker/tests/fixtures/apache-store")]
        into: PathBuf,
    },
}

/// The servers under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Against {
    /// RingMQ's mqnamesrv and mqbroker, built in release.
    Ringmq,
    /// Apache RocketMQ 5.5.0 from Maven Central.
    Apache,
    /// RingMQ's mqnamesrv under Apache's broker: tells whose fault a failure is.
    RingmqNamesrv,
}

impl Against {
    /// As it is written on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ringmq => "ringmq",
            Self::Apache => "apache",
            Self::RingmqNamesrv => "ringmq-namesrv",
        }
    }

    /// The name server is ours.
    pub(crate) fn our_namesrv(self) -> bool {
        matches!(self, Self::Ringmq | Self::RingmqNamesrv)
    }

    /// The broker is ours.
    pub(crate) fn our_broker(self) -> bool {
        self == Self::Ringmq
    }
}

/// `--client`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClientChoice {
    /// The last of the 4.9 line.
    #[value(name = "4.9.8")]
    V4_9_8,
    /// The newest of the 5 line.
    #[value(name = "5.5.0")]
    V5_5_0,
    /// Both versions of the Java client.
    Java,
    /// rocketmq-client-go.
    Go,
    /// ali-ons, from npm.
    Node,
    /// rocketmq-client-cpp, through its Python package.
    Cpp,
    /// rocketmq-client-rust.
    Rust,
    /// Both versions of the Java client, then all other languages.
    All,
}

impl ClientChoice {
    /// The versions of the Java client, as Maven knows them.
    pub(crate) fn versions(self) -> &'static [&'static str] {
        match self {
            Self::V4_9_8 => &["4.9.8"],
            Self::V5_5_0 => &["5.5.0"],
            Self::Java | Self::All => &["4.9.8", "5.5.0"],
            Self::Go | Self::Node | Self::Cpp | Self::Rust => &[],
        }
    }

    /// The other languages.
    pub(crate) fn languages(self) -> &'static [Language] {
        match self {
            Self::V4_9_8 | Self::V5_5_0 | Self::Java => &[],
            Self::Go => &[Language::Go],
            Self::Node => &[Language::Node],
            Self::Cpp => &[Language::Cpp],
            Self::Rust => &[Language::Rust],
            Self::All => &language::ALL,
        }
    }
}

/// `--part N/M`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    nth: usize,
    parts: usize,
}

impl Part {
    /// Those of `all` that belong to this part.
    pub(crate) fn of<T>(self, all: impl IntoIterator<Item = T>) -> Vec<T> {
        all.into_iter().skip(self.nth - 1).step_by(self.parts).collect()
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(nth, parts)| {
            Some(Self { nth: nth.parse().ok()?, parts: parts.parse().ok()? })
        });
        numbers
            .filter(|part| (1..=part.parts).contains(&part.nth))
            .ok_or_else(|| "expected N/M with N from 1 to M, such as 1/2".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_everything_once() {
        let parts: Vec<Part> = ["1/3", "2/3", "3/3"].map(|text| text.parse().unwrap()).into();
        let mut all: Vec<i32> = parts.iter().flat_map(|part| part.of(0..8)).collect();
        assert_eq!(all[..3], [0, 3, 6]);
        all.sort_unstable();
        assert_eq!(all, (0..8).collect::<Vec<i32>>());
        for wrong in ["0/2", "3/2", "1", "a/b", "1/0"] {
            assert!(wrong.parse::<Part>().is_err(), "{wrong}");
        }
    }
}

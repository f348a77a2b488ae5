//! The languages, and what their clients are.

/// A language with a stock client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// rocketmq-client-go.
    Go,
    /// ali-ons, the npm package that speaks remoting; rocketmq-client-nodejs speaks gRPC only.
    Node,
    /// rocketmq-client-cpp, in the Python package `rocketmq`.
    Cpp,
    /// rocketmq-client-rust.
    Rust,
}

/// In the order of the table's columns.
pub(crate) const ALL: [Language; 4] = [Language::Go, Language::Node, Language::Cpp, Language::Rust];

impl Language {
    /// As given to `--client`, part of topic and group names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Node => "node",
            Self::Cpp => "cpp",
            Self::Rust => "rust",
        }
    }

    /// The package and its version, as pinned in the program's folder.
    pub(crate) fn client(self) -> &'static str {
        match self {
            Self::Go => "rocketmq-client-go 2.1.2",
            Self::Node => "ali-ons 3.12.0 (npm)",
            Self::Cpp => "rocketmq 0.4.4 (PyPI), with librocketmq.so 1.x",
            Self::Rust => "rocketmq-client-rust 1.0.0",
        }
    }

    /// The column, which is the place in [`ALL`].
    pub(crate) fn column(self) -> usize {
        ALL.iter().position(|&language| language == self).unwrap_or(0)
    }

    /// The client has sends that nobody answers.
    pub(crate) fn sends_one_way(self) -> bool {
        self != Self::Node
    }

    /// The client can tell the broker how often a message may be tried; if not, the group's
    /// settings at the broker say it.
    pub(crate) fn sets_attempts(self) -> bool {
        self != Self::Cpp
    }
}

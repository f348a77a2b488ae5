//! How a test starts a program of the workspace.

use std::path::Path;
use std::process::Command;

/// A program and how arguments reach it.
#[derive(Clone)]
pub struct Program(How);

#[derive(Clone)]
enum How {
    File(String),
    /// This test program again; the test of this name takes the arguments from this variable.
    ThisTest {
        test: &'static str,
        variable: &'static str,
    },
}

impl Program {
    /// The file at `path`; panics with the fix when it is not built.
    pub fn at(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        assert!(
            path.exists(),
            "{} is not built: run `cargo build -p namesrv -p broker`, or test the whole workspace",
            path.display()
        );
        Self(How::File(path.to_str().unwrap().to_owned()))
    }

    /// The running test program again, which becomes the program in a test of its own:
    ///
    /// ```ignore
    /// #[test]
    /// fn be_the_broker() {
    ///     Program::when_started(VARIABLE, |arguments| broker::run(arguments));
    /// }
    /// ```
    pub fn this_test(test: &'static str, variable: &'static str) -> Self {
        Self(How::ThisTest { test, variable })
    }

    /// The other side of [`Program::this_test`]: runs `main` if the environment says so.
    pub fn when_started(variable: &str, main: impl FnOnce(Vec<String>)) {
        if let Ok(arguments) = std::env::var(variable) {
            let own_name = std::iter::once("program");
            main(own_name.chain(arguments.split('\n')).map(Into::into).collect());
        }
    }

    /// A command with these arguments, an environment that can't change what it does, and, in front
    /// of it, a program that starts it (`valgrind …`).
    pub fn command(&self, through: &[String], arguments: &[String]) -> Command {
        let (file, rest) = match &self.0 {
            How::File(path) => (path.clone(), arguments.to_vec()),
            How::ThisTest { test, .. } => {
                let file = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
                (file, ["--exact", test, "--nocapture"].map(Into::into).to_vec())
            }
        };
        let mut words = through.iter().cloned().chain([file]).chain(rest);
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        for variable in ["NAMESRV_ADDR", "ROCKETMQ_HOME", "RUST_LOG"] {
            command.env_remove(variable);
        }
        if let How::ThisTest { variable, .. } = &self.0 {
            command.env(variable, arguments.join("\n"));
        }
        command
    }
}

//! Workload files: everything that flags say, in TOML.
//!
//! ```toml
//! namesrv = "127.0.0.1:9876"
//! senders = 16
//! rate = "50k/s"
//! duration = "60s"
//! consume = true
//! broker-config = ["a=1", "b=2"]     # a flag that may be repeated
//! ```
//!
//! `loadgen run --workload FILE` reads such a file; its keys are the flags of that command,
//! without the dashes in front. What the command line says counts more. The file is turned into
//! flags before the command line is parsed, so that both are checked by the same rules.

use crate::error::{Error, Result};
use clap::{ArgAction, Command};
use std::ffi::OsString;
use std::path::Path;
use toml::{Table, Value};

const FLAG: &str = "--workload";
/// A workload file is written by hand: one that is larger is another file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Names that differ by more are no slip of the finger.
const SIMILAR_MIN: f64 = 0.6;

/// Puts the flags of the workload file behind the command's name, if the command line names one.
///
/// # Errors
/// When the file can't be read, is no TOML, or has a key that is no flag of the command; the error
/// names the nearest one.
pub fn expand(args: Vec<OsString>, cli: &Command) -> Result<Vec<OsString>> {
    let words: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let Some(path) = path_in(&words) else { return Ok(args) };
    let found = words.iter().enumerate().skip(1).find_map(|(at, word)| {
        cli.get_subcommands().find(|command| command.get_name() == word).map(|it| (at, it))
    });
    // Without a command clap says what is wrong.
    let Some((at, command)) = found else { return Ok(args) };
    let table = read(Path::new(&path))?;
    let mut flags = Vec::new();
    for (key, value) in &table {
        flags.extend(flags_of(key, value, command, &words[at + 1..], &path)?);
    }
    let mut all: Vec<OsString> = args[..=at].to_vec();
    all.extend(flags.into_iter().map(OsString::from));
    all.extend_from_slice(&args[at + 1..]);
    Ok(all)
}

fn path_in(words: &[String]) -> Option<String> {
    let at = words.iter().position(|word| word.split('=').next() == Some(FLAG))?;
    match words[at].split_once('=') {
        Some((_, path)) => Some(path.to_owned()),
        None => words.get(at + 1).cloned(),
    }
}

fn read(path: &Path) -> Result<Table> {
    let bytes_found = std::fs::metadata(path).map_err(Error::file("read", path))?.len();
    if bytes_found > FILE_BYTES_MAX {
        return Err(Error::Usage(format!(
            "{} has {bytes_found} bytes, a workload file has at most {FILE_BYTES_MAX}",
            path.display()
        )));
    }
    let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
    text.parse::<Table>()
        .map_err(|error| Error::Usage(format!("{} is no TOML: {error}", path.display())))
}

fn flags_of(
    key: &str,
    value: &Value,
    command: &Command,
    typed: &[String],
    path: &str,
) -> Result<Vec<String>> {
    let name = key.replace('_', "-");
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(&name));
    let Some(arg) = arg.filter(|_| name != "workload") else {
        return Err(unknown(key, command, path));
    };
    let flag = format!("--{name}");
    let is_typed = |word: &String| {
        let short = arg.get_short().map(|short| format!("-{short}"));
        word.split('=').next() == Some(&flag) || short.is_some_and(|short| word.starts_with(&short))
    };
    if typed.iter().any(is_typed) {
        return Ok(Vec::new());
    }
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    let wrong = |expected: &str| {
        let found = value.type_str();
        Error::Usage(format!("{path}: `{key}` must be {expected}, found {found}"))
    };
    match (is_switch, value) {
        (true, Value::Boolean(true)) => Ok(vec![flag]),
        (true, Value::Boolean(false)) => Ok(Vec::new()),
        (true, _) => Err(wrong("true or false")),
        (false, Value::Array(values)) => {
            let texts = values.iter().map(|value| text_of(value).ok_or_else(|| wrong("texts")));
            let texts = texts.collect::<Result<Vec<String>>>()?;
            Ok(texts.into_iter().map(|text| format!("{flag}={text}")).collect())
        }
        (false, value) => {
            let text = text_of(value).ok_or_else(|| wrong("a text or a number"))?;
            Ok(vec![format!("{flag}={text}")])
        }
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

fn unknown(key: &str, command: &Command, path: &str) -> Error {
    let names = command.get_arguments().filter_map(|arg| arg.get_long());
    let names = names.filter(|name| !["workload", "help"].contains(name));
    let name = key.replace('_', "-");
    let nearest = names
        .map(|known| (strsim::jaro_winkler(known, &name), known))
        .max_by(|one, two| one.0.total_cmp(&two.0));
    let hint = match nearest.filter(|(similar, _)| *similar >= SIMILAR_MIN) {
        Some((_, known)) => format!("do you mean `{known}`?"),
        None => format!("`loadgen {} --help` has all keys", command.get_name()),
    };
    Error::Usage(format!("{path}: `loadgen {}` has no `{key}`: {hint}", command.get_name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command as Chosen};
    use clap::{CommandFactory, Parser};

    fn expanded(file: &str, typed: &[&str]) -> Result<Vec<OsString>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.toml");
        std::fs::write(&path, file).unwrap();
        let words = ["loadgen", "run", "--workload"].iter().map(OsString::from);
        let words = words.chain([path.into_os_string()]);
        expand(words.chain(typed.iter().map(OsString::from)).collect(), &Cli::command())
    }

    #[test]
    fn a_file_says_what_flags_say_and_the_command_line_counts_more() {
        let file = "namesrv = 'a:1'\nsenders = 16\nrate = '50k/s'\nin_flight = 3\nconsume = true\n\
                    json = false\nbroker-pid = [1, 2]\nwarmup = 0.5";
        let words = expanded(file, &["--senders", "4"]).unwrap();
        let Chosen::Run(args) = Cli::try_parse_from(words).unwrap().command else { panic!() };
        assert_eq!((args.load.senders, args.load.rate), (4, Some(50_000.0)));
        assert_eq!((args.load.in_flight, args.target.broker_pid), (Some(3), vec![1, 2]));
        assert!(args.consume && !args.common.json);
        assert_eq!((args.target.namesrv.as_str(), args.load.warmup.as_millis()), ("a:1", 500));
    }

    #[test]
    fn a_wrong_key_names_the_nearest_right_one() {
        for (file, why) in [
            ("sender = 3", "has no `sender`: do you mean `senders`?"),
            ("inflight = 3", "do you mean `in-flight`?"),
            ("qqqqzzz = 3", "--help` has all keys"),
            ("consume = 'yes'", "`consume` must be true or false, found string"),
            ("rate = true", "`rate` must be a text or a number"),
            ("workload = 'x'", "has no `workload`"),
            ("rate = [", "is no TOML"),
        ] {
            let error = expanded(file, &[]).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("w.toml"), "{file}: {error}");
        }
    }

    #[test]
    fn values_are_checked_as_those_of_flags_are() {
        let words = expanded("namesrv = 'a:1'\nrate = 'fast'", &[]).unwrap();
        let error = Cli::try_parse_from(words).unwrap_err().to_string();
        assert!(error.contains("'fast'") && error.contains("--rate"), "{error}");
    }

    #[test]
    fn a_command_line_without_a_file_stays_as_it_is() {
        let words: Vec<OsString> = ["loadgen", "run", "-n", "a:1"].map(OsString::from).to_vec();
        assert_eq!(expand(words.clone(), &Cli::command()).unwrap(), words);
    }
}

//! A copy of the broker's store, and a master that goes back to it: as after a restored backup.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::Cluster;
use crate::limits::REPLICATED_MAX;
use crate::process::Stop;
use crate::target::SLAVE_HOME;

impl Cluster<'_> {
    /// Copies the store of the broker, which has ended.
    pub(crate) fn keep_store(&self) -> Result<(), Stop> {
        self.no_broker_runs()?;
        copy(&self.store(), &self.kept())
    }

    /// Replaces the store of the broker, which has ended, by the copy.
    pub(crate) fn put_back_store(&self) -> Result<(), Stop> {
        self.no_broker_runs()?;
        let (store, kept) = (self.store(), self.kept());
        fs::remove_dir_all(&store)
            .map_err(Stop::while_doing(format!("removing {}", store.display())))?;
        fs::rename(&kept, &store).map_err(Stop::while_doing(format!("moving {}", kept.display())))
    }

    /// Waits until the slave has logged a line with this text; the line from there on.
    pub(crate) fn slave_said(&mut self, text: &str) -> Result<String, Stop> {
        let log = self.dir().join(format!("{SLAVE_HOME}.log"));
        let mut said = None;
        self.interrupt.wait_until(REPLICATED_MAX, || {
            said = last_line(&fs::read_to_string(&log).unwrap_or_default(), text);
            said.is_some()
        })?;
        said.ok_or_else(|| Stop::Cannot(format!("{} has no {text:?}", log.display())))
    }

    fn kept(&self) -> PathBuf {
        self.dir().join("store-kept")
    }

    fn no_broker_runs(&self) -> Result<(), Stop> {
        if self.brokers.is_empty() {
            return Ok(());
        }
        Err(Stop::Cannot("the broker of the store was not ended".to_owned()))
    }
}

/// The last line with this text, from it on.
fn last_line(log: &str, text: &str) -> Option<String> {
    log.lines().rev().find_map(|line| line.find(text).map(|at| line[at..].to_owned()))
}

/// Copies a folder; holes stay holes.
fn copy(from: &Path, to: &Path) -> Result<(), Stop> {
    let output = Command::new("cp").args(["-a", "--sparse=always"]).arg(from).arg(to).output();
    let doing = || format!("copying {} to {}", from.display(), to.display());
    let output = output.map_err(Stop::while_doing(doing()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Stop::Cannot(format!("{}: {}", doing(), String::from_utf8_lossy(&output.stderr))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_with_a_text_is_found_from_the_text_on() {
        let log = "1 cut from 5\n2 other\n3 cut from 7 to 6\n4 other\n";
        assert_eq!(last_line(log, "cut from").as_deref(), Some("cut from 7 to 6"));
        assert_eq!(last_line(log, "nothing"), None);
    }

    #[test]
    fn a_copy_has_all_files() {
        let dir = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| dir.path().join(name));
        fs::create_dir_all(from.join("config")).unwrap();
        fs::write(from.join("config/topics.json"), "{}").unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::read(to.join("config/topics.json")).unwrap(), b"{}");
        assert!(copy(&dir.path().join("none"), &to).is_err());
    }
}

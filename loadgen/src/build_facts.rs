//! The revision that the program was built from. A result names it; the working directory's
//! revision, which the program may have nothing to do with, says nothing about a figure.

/// Git revision, with `-dirty` behind it when files of the program had changed; `None` when it was
/// built outside a repository. Set by `build.rs`.
pub(crate) const REVISION: Option<&str> = option_env!("LOADGEN_REVISION");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_is_the_one_of_the_sources() {
        let git = |args: &[&str]| {
            let output = std::process::Command::new("git").args(args).output().ok()?;
            output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
        };
        let Some(head) = git(&["rev-parse", "--short=12", "HEAD"]) else { return };
        let revision = REVISION.unwrap();
        assert_eq!(revision.trim_end_matches("-dirty"), head.trim());
    }
}

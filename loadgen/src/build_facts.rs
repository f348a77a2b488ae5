//! The revision that the program was built from. A result names it; the working directory's
//! revision, which the program may have nothing to do with, says nothing about a figure.

/// Git revision, with `-dirty` behind it when files of the program had changed; `None` when it was
/// built outside a repository. Set by `build.rs`.
pub(crate) const REVISION: Option<&str> = option_env!("LOADGEN_REVISION");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_is_a_commit_of_this_repository() {
        let git = |args: &[&str]| {
            let output = std::process::Command::new("git").args(args).output();
            output.is_ok_and(|output| output.status.success())
        };
        if !git(&["rev-parse", "HEAD"]) {
            return;
        }
        let revision = REVISION.unwrap().trim_end_matches("-dirty");
        assert!(git(&["cat-file", "-e", &format!("{revision}^{{commit}}")]), "{revision}");
    }
}

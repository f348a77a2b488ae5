//! Writes the seeds of the fuzz corpora: `cargo run -p protocol --example fuzz_seeds`.
//! Counterexamples are added beside them by hand; the seeds only have to be good bytes of every
//! kind.

#[path = "../tests/samples/mod.rs"]
mod samples;

use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (target, seeds) in [
        ("command", samples::frames()),
        ("records", samples::records()),
        ("batch", samples::batches()),
        ("json", samples::bodies()),
        ("properties", samples::properties()),
    ] {
        let folder = corpus.join(target);
        std::fs::create_dir_all(&folder)?;
        for (index, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{index:02}")), seed)?;
        }
    }
    Ok(())
}

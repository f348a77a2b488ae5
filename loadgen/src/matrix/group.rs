//! All clusters of one maker and flush policy: pilot, blocks, stages.

use super::apache::Java;
use super::block::{self, Loads};
use super::costs::Key;
use super::own::Recipe;
use super::record::Record;
use super::roles::Roles;
use super::site::Site;
use crate::cli::matrix::{Maker, MatrixArgs, Preset, Slaves};
use crate::env::disk::free_bytes;
use crate::error::{Error, Result};
use crate::phase::Bench;
use crate::progress::Progress;
use crate::report::folder::RunFolder;
use crate::report::text::count;
use crate::row::count_f64;
use crate::runner::Frame;
use crate::signals::Stop;
use std::path::Path;

/// Less free space than this, and a block may fill the disk: each broker makes log files ahead.
const FREE_BYTES_MIN: u64 = 6 << 30;

/// What the whole run has.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub args: &'a MatrixArgs,
    pub preset: Preset,
    pub frame: &'a Frame,
    pub folder: &'a RunFolder,
    pub bench: &'a Bench,
    pub progress: &'a Progress,
    pub roles: &'a Roles,
    pub stop: &'a Stop,
}

/// The clusters of one maker and flush policy.
pub(super) struct Group<'a> {
    pub work: &'a Work<'a>,
    pub maker: Option<Maker>,
    pub flush: String,
    pub slaves: Vec<Slaves>,
    recipe: Option<Recipe<'a>>,
}

/// The kinds of slaves that are measured, each once, in their order.
fn kinds(args: &MatrixArgs) -> Vec<Slaves> {
    let mut kinds: Vec<Slaves> = match args.cluster.is_empty() {
        true => args.slaves.clone(),
        false => args.cluster.iter().map(|(slaves, _)| *slaves).collect(),
    };
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// The order of a block in letters.
pub(super) fn order(args: &MatrixArgs) -> String {
    let kinds = kinds(args);
    let letters = kinds.iter().chain(kinds.iter().rev()).map(|slaves| match slaves {
        Slaves::None => "N",
        Slaves::Async => "A",
        Slaves::Sync => "S",
    });
    letters.collect::<Vec<_>>().join(" ")
}

impl<'a> Group<'a> {
    /// Clusters that are started for the run.
    pub(super) fn of_own(
        work: &'a Work<'a>,
        maker: Maker,
        flush: &'static str,
        stores: &Path,
        java: Option<&'a Java>,
    ) -> Self {
        let recipe = Recipe {
            maker,
            flush,
            args: work.args,
            roles: work.roles,
            config: work.folder.config(),
            stores: stores.to_owned(),
            java,
        };
        let slaves = kinds(work.args);
        Self { work, maker: Some(maker), flush: flush.to_owned(), slaves, recipe: Some(recipe) }
    }

    /// Clusters that are running already.
    pub(super) fn of_others(work: &'a Work<'a>) -> Self {
        let flush = "its own flush policy".to_owned();
        Self { work, maker: None, flush, slaves: kinds(work.args), recipe: None }
    }

    /// The cell of a kind of slaves, a batch size and a load.
    pub(super) fn key(&self, slaves: Slaves, batch: u32, load: &str) -> Key {
        let maker = self.maker.map_or("cluster", Maker::title).to_owned();
        Key { maker, flush: self.flush.clone(), slaves, batch, load: load.to_owned() }
    }

    /// Measures them.
    ///
    /// # Errors
    /// When a cluster can't be started or used, or a signal came. What was measured by then is in
    /// the record.
    pub(super) fn run(&self, record: &mut Record) -> Result<()> {
        let mut sites = self.start()?;
        let done = self.blocks(&mut sites, record);
        for site in sites {
            let (setup, notes) = site.stop();
            record.add_setup(setup);
            record.notes.extend(notes);
        }
        done
    }

    fn blocks(&self, sites: &mut Vec<Site<'a>>, record: &mut Record) -> Result<()> {
        let loads = Loads::of(self.work);
        let keys = loads.keys(self);
        let rate = block::pilot(self, &loads, &keys, sites, record)?;
        for nth in 1..=self.work.args.blocks {
            if nth > 1 && self.maker == Some(Maker::Ringmq) {
                self.renew(sites, record)?;
            }
            self.check_room()?;
            block::block(self, &loads, rate, nth, sites, record)?;
            record.end_block(&keys, nth, self.work.folder)?;
            for site in &*sites {
                if let Some(log) = site.log() {
                    record.set_log(&keys, site.slaves, log);
                }
            }
        }
        match self.maker {
            Some(Maker::Ringmq) => block::stages(self, &loads, sites, record),
            _ => Ok(()),
        }
    }

    fn start(&self) -> Result<Vec<Site<'a>>> {
        self.check_room()?;
        let batches = self.work.preset.batches(self.work.args);
        let mut sites = Vec::new();
        for slaves in &self.slaves {
            let mut site = match (&self.recipe, self.maker) {
                (Some(recipe), Some(maker)) => {
                    let (title, flush) = (maker.title(), &self.flush);
                    let slaves_title = slaves.title();
                    self.work.progress.say(&format!("starting {title}, {flush}, {slaves_title} …"));
                    let own = recipe.start(*slaves, self.work.stop)?;
                    Site::of_own(self.work, *slaves, maker, own)?
                }
                _ => self.other(*slaves)?,
            };
            site.begin(self.work, &batches)?;
            sites.push(site);
        }
        Ok(sites)
    }

    fn other(&self, slaves: Slaves) -> Result<Site<'a>> {
        let all = &self.work.args.cluster;
        let found = all.iter().find(|(of, _)| *of == slaves).map(|(_, namesrv)| namesrv);
        let namesrv = found.ok_or_else(|| Error::Usage("no cluster of this kind".into()))?;
        let site = Site::of_other(self.work, slaves, namesrv)?;
        site.setup.refuse_waiting_for_nobody(slaves == Slaves::Sync)?;
        Ok(site)
    }

    /// Stops all clusters and starts others: each block has processes and stores of its own.
    fn renew(&self, sites: &mut Vec<Site<'a>>, record: &mut Record) -> Result<()> {
        for site in sites.drain(..) {
            record.notes.extend(site.stop().1);
        }
        *sites = self.start()?;
        Ok(())
    }

    fn check_room(&self) -> Result<()> {
        let Some(recipe) = &self.recipe else { return Ok(()) };
        match free_bytes(&recipe.stores) {
            Some(free) if free < FREE_BYTES_MIN => Err(Error::Usage(format!(
                "{} has {}B free, a block may need {}B: give another folder with --dir",
                recipe.stores.display(),
                count(count_f64(free)),
                count(count_f64(FREE_BYTES_MIN))
            ))),
            _ => Ok(()),
        }
    }
}

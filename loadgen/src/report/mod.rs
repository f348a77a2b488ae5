//! The output of a run: the table on the terminal and the run's folder.
//!
//! ```text
//! <date>-<host>-<revision>-<workload>[.FAIL]/
//!   README.md  environment.json  config/  result.json  response.hgrm  service.hgrm  hgrm/  report.html  summary.txt
//!   ROW.hlog  rows.csv  over_time.csv  openmessaging/
//! ```

mod canvas;
pub mod charts;
pub mod costs;
pub mod csv;
mod environment;
pub mod folder;
pub mod hgrm;
pub mod hlog;
pub mod html;
pub(crate) mod narrow;
pub mod openmessaging;
pub mod table;
pub mod text;

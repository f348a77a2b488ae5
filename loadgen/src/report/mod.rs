//! The output of a run: the table on the terminal and the run's folder.
//!
//! ```text
//! <date>-<host>-<revision>-<workload>[.FAIL]/
//!   README.md  environment.json  config/  result.json  response.hgrm  service.hgrm  hgrm/  report.html  summary.txt
//! ```

pub mod charts;
pub mod folder;
pub mod hgrm;
pub mod html;
pub mod table;
pub mod text;

//! Judges a recorded start-up: trace → milestones, verdict, explanation, and
//! renders them.
//!
//! Judging is a pure function of the case and the trace: an old trace can be
//! judged and rendered again, and a judge cannot disturb the run it judges.
//! In reading order:
//!
//! - [`trace`]: what happened, totally ordered; canonical JSON lines;
//! - [`case`]: what the judge is told about the scenario;
//! - [`milestone`]: when each stage was reached;
//! - [`moment`]: happenings that can be waited for or counted;
//! - [`response`]: who was answered what, how often, when;
//! - `life`: the trace cut into the lives of the process;
//! - [`verdict`]: what became of the start-up, in a word;
//! - [`attribution`]: where the time went, in parts that sum exactly;
//!   [`before_start`]: the time before that;
//! - [`explanation`]: why, in causes with their settings;
//! - [`fault`]: what the scenario did to its world, and whether that took effect;
//! - [`expectation`]: what must hold, and whether it did;
//! - [`timeline`]: what it looked like over time;
//! - [`judgement`]: all of it, for one run and for a scenario's runs;
//! - [`exit`]: what it means for the exit code;
//! - [`json`]: the result document that other tools read;
//! - [`junit`]: the results as a test report; [`markdown`]: as a summary to paste;
//! - [`text`]: the report that people read; [`units`] spells its durations.
//!
//! **Invariant:** nothing here knows an engine, the aggregation core or the
//! stand-ins.

pub mod attribution;
pub mod before_start;
pub mod case;
pub mod exit;
pub mod expectation;
pub mod explanation;
pub mod fault;
pub mod json;
pub mod judgement;
pub mod junit;
mod life;
pub mod markdown;
pub mod milestone;
pub mod moment;
pub mod replica;
pub mod response;
pub mod text;
pub mod timeline;
pub mod trace;
pub mod units;
pub mod verdict;

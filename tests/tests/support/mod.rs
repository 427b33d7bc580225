//! A whole Skein on loopback, made of the real program: coordinators, agents, targets, and a user.
//!
//! ```text
//! project    where the program under test is, and a directory that goes when the test has passed
//! wait       until a condition holds, with a bound
//! process    one `skein` that runs: killed, stopped, continued; its log
//! cluster    three coordinators that elect a leader
//! agent      `skein agent` beside its targets
//! cli        `skein VERB …` as a user types it: exit code, JSON, stderr
//! valve      a way to a coordinator that loses what goes through it once it is shut
//! client     the same questions over gRPC
//! runbook    the commands on a page of docs/, in their order, with the test's own paths and numbers in them
//! database   targets: a database for each, gone with the test
//! tmpfs      a disk that can be full
//! web        something on the web that agents ask
//! world      the above together, as most tests begin with it
//! corpus     real migration histories, and what a server makes of them without Skein
//! ```
#![expect(dead_code, unused_imports, reason = "each file of tests uses its own part")]

mod agent;
mod cli;
mod client;
mod cluster;
mod corpus;
mod database;
mod process;
mod project;
mod runbook;
mod tmpfs;
mod valve;
mod wait;
mod web;
mod world;

pub(crate) use agent::{Agent, AgentSpec};
pub(crate) use cli::{Cli, Ran};
pub(crate) use client::Client;
pub(crate) use cluster::{Cluster, Timing};
pub(crate) use corpus::{Corpus, Reference, Step, dump};
pub(crate) use database::{Database, Server, databases};
pub(crate) use process::{Process, Start};
pub(crate) use project::{Project, binary};
pub(crate) use runbook::{Runbook, blocks};
pub(crate) use tmpfs::Tmpfs;
pub(crate) use valve::Valve;
pub(crate) use wait::{until, until_some, within};
pub(crate) use web::web;
pub(crate) use world::{World, once_each};

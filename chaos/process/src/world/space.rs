//! Network namespaces on a bridge: one for each machine of the make-believe fleet.
//!
//! ```text
//!   this program ── bridge 10.77.0.254 ──┬── n1 10.77.0.1      links that can be taken down,
//!                                        ├── n2 10.77.0.2      packet filters in each machine
//!                                        └── eu 10.77.0.11 …
//! ```

use std::path::PathBuf;

use anyhow::Result;

use crate::enclose::run;

/// The bridge between all machines.
const BRIDGE: &str = "fleet";

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) name: String,
    pub(crate) address: String,
}

/// Makes the bridge.
pub(crate) fn bridge() -> Result<()> {
    run("ip", &["link", "add", BRIDGE, "type", "bridge"])?;
    run("ip", &["addr", "add", "10.77.0.254/24", "dev", BRIDGE])?;
    run("ip", &["link", "set", BRIDGE, "up"])
}

impl Space {
    /// Makes a machine with the last byte of its address.
    pub(crate) fn make(name: &str, last: usize) -> Result<Self> {
        let space = Self { name: name.to_owned(), address: format!("10.77.0.{last}") };
        let link = space.link();
        run("ip", &["netns", "add", name])?;
        run("ip", &["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", name])?;
        run("ip", &["link", "set", &link, "master", BRIDGE, "up"])?;
        let address = format!("{}/24", space.address);
        run("ip", &["-n", name, "addr", "add", &address, "dev", "eth0"])?;
        for device in ["eth0", "lo"] {
            run("ip", &["-n", name, "link", "set", device, "up"])?;
        }
        Ok(space)
    }

    fn link(&self) -> String {
        format!("v-{}", self.name)
    }

    /// What a process enters.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    /// Pulls the cable, or puts it back.
    pub(crate) fn connect(&self, up: bool) -> Result<()> {
        run("ip", &["link", "set", &self.link(), if up { "up" } else { "down" }])
    }

    /// Whatever `from` sends is not heard here; what this machine sends is.
    pub(crate) fn deafen(&self, from: &Self) -> Result<()> {
        self.filter(&format!("ip saddr {} drop", from.address))
    }

    /// Loses so many of a hundred packets that arrive.
    pub(crate) fn lose(&self, percent: u32) -> Result<()> {
        self.filter(&format!("iifname eth0 numgen random mod 100 < {percent} drop"))
    }

    /// Takes every filter away.
    pub(crate) fn hear(&self) -> Result<()> {
        // Emptied, not deleted: that there is none is no failure.
        self.nft("add table inet chaos; delete table inet chaos")
    }

    fn filter(&self, rule: &str) -> Result<()> {
        self.nft(&format!(
            "add table inet chaos; \
             add chain inet chaos in {{ type filter hook input priority 0 ; }}; \
             add rule inet chaos in {rule}"
        ))
    }

    fn nft(&self, script: &str) -> Result<()> {
        run("ip", &["netns", "exec", &self.name, "nft", script])
    }
}

//! The unprivileged account that servers run as when root starts them: `initdb` and `mariadbd`
//! refuse root, rightly.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// A user and its first group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account to drop to: `preferred` where it exists, else `nobody`.
    ///
    /// `None` when this program is not root, and has nothing to drop.
    pub fn unprivileged(preferred: &str) -> Result<Option<Self>> {
        if !is_root() {
            return Ok(None);
        }
        let users = std::fs::read_to_string("/etc/passwd").context("failed to read /etc/passwd")?;
        match find(&users, preferred).or_else(|| find(&users, "nobody")) {
            Some(account) => Ok(Some(account)),
            None => bail!(
                "/etc/passwd has neither {preferred} nor nobody, and a database server does not \
                 run as root; add one of these users, or run this as an ordinary user"
            ),
        }
    }

    /// Gives a file or directory to this account.
    pub(super) fn own(self, path: &Path) -> Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("failed to give {} to uid {}", path.display(), self.uid))
    }

    /// Makes `command` run as this account, with no supplementary group.
    pub(super) fn wear(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

/// Whether this program runs as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn find(users: &str, name: &str) -> Option<Account> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        // The second field is the password's place.
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_uid_and_the_gid_of_exactly_the_name_asked_for() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\nnobody2:x:7:8::/:/x\nnobody:x:65534:65533::/:/x\n";
        assert_eq!(find(users, "nobody"), Some(Account { uid: 65534, gid: 65533 }));
        assert_eq!(find(users, "postgres"), None);
    }
}

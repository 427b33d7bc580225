//! What a user would write: migrations and configuration files.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::Stage;
use super::shards::{self, SHARDS};

struct Migration {
    name: &'static str,
    up: &'static str,
    down: &'static str,
}

const ADD: Migration = Migration {
    name: "0001_add_email",
    up: "ALTER TABLE users ADD COLUMN email TEXT;\nINSERT INTO effects VALUES ('1');\n",
    down: "ALTER TABLE users DROP COLUMN email;\nDELETE FROM effects WHERE step = '1';\n",
};
const FILL: Migration = Migration {
    name: "0002_fill_email",
    up: "UPDATE users SET email =\n  (SELECT address FROM profiles WHERE user_id = users.id);\n\
         INSERT INTO effects VALUES ('2');\n",
    down: "UPDATE users SET email = NULL;\nDELETE FROM effects WHERE step = '2';\n",
};
const UNIQUE: Migration = Migration {
    name: "0003_unique_email",
    up: "CREATE UNIQUE INDEX users_email ON users (email);\nINSERT INTO effects VALUES ('3');\n",
    down: "DROP INDEX users_email;\nDELETE FROM effects WHERE step = '3';\n",
};
const DEDUPE: Migration = Migration {
    name: "0003_dedupe_email",
    up: "CREATE TABLE email_twins AS\n  SELECT id, email FROM users AS u WHERE EXISTS\n    \
         (SELECT 1 FROM users AS o WHERE o.email = u.email AND o.id < u.id);\n\
         UPDATE users SET email = NULL WHERE id IN (SELECT id FROM email_twins);\n\
         INSERT INTO effects VALUES ('3');\n",
    down: "UPDATE users SET email = (SELECT email FROM email_twins AS t WHERE t.id = users.id)\n  \
           WHERE id IN (SELECT id FROM email_twins);\nDROP TABLE email_twins;\n\
           DELETE FROM effects WHERE step = '3';\n",
};
const UNIQUE_AFTER: Migration = Migration {
    name: "0004_unique_email",
    up: "CREATE UNIQUE INDEX users_email ON users (email);\nINSERT INTO effects VALUES ('4');\n",
    down: "DROP INDEX users_email;\nDELETE FROM effects WHERE step = '4';\n",
};

fn write_one(dir: &Path, migration: &Migration) -> io::Result<()> {
    let file = |end: &str| dir.join("migrations").join(format!("{}.{end}.sql", migration.name));
    std::fs::write(file("up"), migration.up)?;
    std::fs::write(file("down"), migration.down)
}

/// The first three migrations.
pub(crate) fn write_migrations(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir.join("migrations"))?;
    [ADD, FILL, UNIQUE].iter().try_for_each(|migration| write_one(dir, migration))
}

/// The fix: twins lose their address before the index is made.
pub(crate) fn write_fix(dir: &Path) -> io::Result<()> {
    for end in ["up", "down"] {
        let old = format!("{}.{end}.sql", UNIQUE.name);
        std::fs::remove_file(dir.join("migrations").join(old))?;
    }
    [DEDUPE, UNIQUE_AFTER].iter().try_for_each(|migration| write_one(dir, migration))
}

/// What the commands read: where the coordinators are, and the waves.
pub(crate) fn write_config(stage: &Stage, coordinators: &[String]) -> io::Result<()> {
    let addresses: Vec<String> =
        coordinators.iter().map(|address| format!("\"http://{address}\"")).collect();
    let text = format!(
        "[project]
migrations = \"migrations\"
format = \"golang-migrate\"
actor = \"demo\"

[coordinator]
addresses = [{}]

[strategy]
parallelism = 2
on_breach = \"rollback_rollout\"

[[strategy.wave]]
name = \"canary\"
targets = [\"eu-1\"]

[[strategy.wave]]
name = \"early\"
targets = [\"eu-2\", \"us-1\"]

[[strategy.wave]]
name = \"half\"
targets = [\"eu-3\", \"us-2\", \"us-3\", \"ap-1\"]
",
        addresses.join(", ")
    );
    std::fs::write(stage.dir.join("skein.toml"), text)
}

/// A region's agent.
pub(crate) fn write_agent(stage: &Stage, region: &str, coordinators: &[String]) -> io::Result<()> {
    let addresses: Vec<String> =
        coordinators.iter().map(|address| format!("\"http://{address}\"")).collect();
    let mut text = format!(
        "[coordinator]
addresses = [{}]

[agent]
id = \"agent-{region}\"
slots = 2
backups = \"backups-{region}\"
cache = \"cache-{region}\"
",
        addresses.join(", ")
    );
    for shard in SHARDS.iter().filter(|shard| shards::region(shard) == region) {
        write!(
            text,
            "
[[target]]
id = \"{shard}\"
url = \"sqlite:shards/{shard}.db\"
labels = {{ region = \"{region}\" }}
"
        )
        .map_err(io::Error::other)?;
    }
    std::fs::create_dir_all(stage.dir.join(format!("backups-{region}")))?;
    std::fs::write(stage.dir.join(format!("agent-{region}.toml")), text)
}

/// A coordinator node.
pub(crate) fn write_coordinator(stage: &Stage, node: usize, members: &[String]) -> io::Result<()> {
    let mut text = format!(
        "node = {}
cluster = \"demo\"
data = \"coordinator-{}\"
listen = \"{}\"
lease_ms = 3000

[raft]
heartbeat_ms = 100
election_min_ms = 500
election_max_ms = 800
",
        node + 1,
        node + 1,
        members.get(node).map_or("", String::as_str)
    );
    for (number, address) in (1..).zip(members) {
        write!(text, "\n[[member]]\nnode = {number}\naddress = \"{address}\"\n")
            .map_err(io::Error::other)?;
    }
    std::fs::write(stage.dir.join(format!("coordinator-{}.toml", node + 1)), text)
}

//! Files that people write: skein.toml, a node's configuration, a charter.

use std::path::Path;

use skein_agent::config::File;
use skein_coordinator::{Config, charter};

use super::Target;

const WORDS: &[&str] = &[
    "[",
    "]",
    "[[",
    "]]",
    "=",
    "\"",
    "'",
    "\"\"\"",
    "\n",
    "#",
    "{",
    "}",
    ",",
    ".",
    "\\u0000",
    "\\",
    "-1",
    "1e9",
    "99999999999999999999",
    "true",
    "[agent]\n",
    "[[target]]\n",
    "[coordinator]\n",
    "[strategy]\n",
    "[[strategy.wave]]\n",
    "id = ",
    "url = ",
    "postgres://",
    "sqlite:",
    "mysql://u:p@h/d",
    "?mode=rwc",
    "%",
    "${HOME}",
    "labels = ",
    "percent = ",
    "on_breach = ",
    "\u{0}",
    "ä",
];

const SKEIN: &str = "[project]\nactor = \"kim\"\nmigrations = \"m\"\nformat = \"sqlx\"\n\
    [coordinator]\naddresses = [\"http://127.0.0.1:7420\"]\n[agent]\nid = \"a\"\nslots = 4\nbackups = \"b\"\n\
    [strategy]\nparallelism = 8\non_breach = \"halt\"\nretries = 2\n[strategy.budget]\nfailed = 1\npercent = 5\n\
    [[strategy.wave]]\nname = \"canary\"\ntargets = [\"eu/*\"]\nlabels = { tier = \"1\" }\npercent = 10\n\
    [[target]]\nid = \"eu/1\"\nurl = \"postgres://u:p@127.0.0.1:5432/d?sslmode=disable\"\nlabels = { region = \"eu\" }\n\
    [[target]]\nid = \"eu/2\"\nurl = \"sqlite:a.db?mode=rwc\"\n";

const NODE: &str = "node = 1\ncluster = \"c\"\ndata = \"d\"\nlisten = \"127.0.0.1:7420\"\nlease_ms = 2000\n\
    [raft]\nheartbeat_ms = 100\nelection_min_ms = 400\nelection_max_ms = 800\nsnapshot_after = 1000\n\
    [[member]]\nnode = 1\naddress = \"127.0.0.1:7420\"\n[[member]]\nnode = 2\naddress = \"127.0.0.1:7421\"\n";

fn skein(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    match File::parse(&text, Path::new("skein.toml"), Path::new("/srv")) {
        Ok(file) => {
            // What is missing for an agent is said.
            drop(file.agent_config());
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty(), "a refusal says why");
            false
        }
    }
}

pub(super) fn targets(scratch: &Path) -> Vec<Target> {
    let path = scratch.join("node.toml");
    let node = move |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("written");
        Config::read(&path).is_ok()
    };
    vec![
        Target {
            name: "skein-toml",
            seeds: vec![SKEIN.as_bytes().to_vec()],
            words: WORDS,
            door: Box::new(skein),
        },
        Target {
            name: "node-toml",
            seeds: vec![NODE.as_bytes().to_vec()],
            words: WORDS,
            door: Box::new(node),
        },
        Target {
            name: "charter",
            seeds: vec![charter::DEFAULT.as_bytes().to_vec()],
            words: WORDS,
            door: Box::new(|bytes| charter::policy(bytes).is_ok()),
        },
    ]
}

//! What `skein.toml` may say, and how an error in it reads.

use std::path::Path;

use skein_agent::config::{Backup, File, OnBreach, Url};
use skein_agent::db::Engine;

const WHOLE: &str = r#"
[project]
migrations = "db/migrations"
format = "sqlx"
charter = "charter.toml"
actor = "deploy"

[coordinator]
addresses = ["http://10.0.0.1:7411", "http://10.0.0.2:7411"]

[agent]
id = "host-1/a"
slots = 3
backups = "s3://bucket/skein"
lock_timeout_ms = 1500
statement_timeout_ms = 60000
cache = "cache"

[strategy]
parallelism = 4
on_breach = "rollback_wave"
retries = 1
budget = { failed = 1, percent = 20 }
backup = "schema"

[[strategy.wave]]
name = "canary"
targets = ["eu-1"]

[[strategy.wave]]
name = "eu"
labels = { ring = "early", region = ["eu", "us"] }

[[strategy.wave]]
name = "tenth"
percent = 10

[[target]]
id = "eu-1"
url = "sqlite:shards/eu-1.db"
labels = { region = "eu" }
group = "host-1"

[[target]]
id = "eu-2"
url = { env = "EU_2_URL" }
engine = "postgres"
schema = "tenant_1"

[[target]]
id = "eu-3"
url = { file = "secrets/eu-3" }

[[target]]
id = "eu-4"
url = { command = "vault read eu-4" }
engine = "mariadb"
"#;

fn read(text: &str) -> Result<File, String> {
    File::parse(text, Path::new("skein.toml"), Path::new("/srv/shop"))
        .map_err(|error| error.to_string())
}

fn error(text: &str) -> String {
    read(text).expect_err("the file has an error")
}

#[test]
fn everything_can_be_said() {
    let file = read(WHOLE).expect("the file is in order");
    assert_eq!(file.project.migrations, Path::new("/srv/shop/db/migrations"));
    assert_eq!(file.project.charter.as_deref(), Some(Path::new("/srv/shop/charter.toml")));
    assert_eq!(file.coordinator.as_ref().map(|it| it.addresses.len()), Some(2));
    assert_eq!(file.strategy.on_breach, OnBreach::RollbackWave);
    assert_eq!(file.strategy.backup, Backup::Schema);
    assert_eq!(file.strategy.waves[1].labels["ring"], ["early"]);
    assert_eq!(file.strategy.waves[1].labels["region"], ["eu", "us"]);
    let engines: Vec<_> = file.targets.iter().map(|target| target.engine).collect();
    assert_eq!(engines, [Some(Engine::Sqlite), Some(Engine::Postgres), None, Some(Engine::Mysql)]);
    assert_eq!(file.targets[2].url, Url::File("/srv/shop/secrets/eu-3".into()));

    let agent = file.agent_config().expect("the agent has an id");
    assert_eq!((agent.id.as_str(), agent.slots.get()), ("host-1/a", 3));
    assert_eq!((agent.timeouts.lock_ms, agent.timeouts.statement_ms), (1500, 60000));
    assert_eq!(agent.backups, "s3://bucket/skein");
    assert_eq!(agent.cache, Path::new("/srv/shop/cache"));

    let wire = file.strategy.to_wire();
    assert_eq!((wire.parallelism, wire.waves.len()), (4, 3));
    assert!(wire.waves[2].selector.is_none());
    assert_eq!(wire.waves[2].percent, 10);
}

#[test]
fn nothing_need_be_said() {
    let file = read("").expect("an empty file is in order");
    assert!(file.coordinator.is_none() && file.targets.is_empty());
    assert_eq!(file.project.migrations, Path::new("/srv/shop/migrations"));
    assert_eq!(file.data(), Path::new("/srv/shop/.skein"));
    assert_eq!(file.backups(), "/srv/shop/.skein/backups");
}

#[test]
fn an_unknown_key_is_shown_where_it_stands() {
    let text = error("[strategy]\nparalelism = 4\n");
    assert!(text.starts_with("skein.toml:2:1: unknown field `paralelism`"), "{text}");
    assert!(text.contains("did you mean `parallelism`?"), "{text}");
    assert!(text.ends_with("  |\n2 | paralelism = 4\n  | ^^^^^^^^^^"), "{text}");
    for (text, line, meant) in [
        ("[projct]\n", 1, "project"),
        ("[project]\nformat = \"slqx\"\n", 2, "sqlx"),
        ("[agent]\n\nslot = 1\n", 3, "slots"),
        ("[strategy]\non_breach = \"rollback_waves\"\n", 2, "rollback_wave"),
        ("[strategy]\nbudget = { fail = 1 }\n", 2, "failed"),
        ("[[strategy.wave]]\nname = \"a\"\nprecent = 3\n", 3, "percent"),
        ("[[target]]\nid = \"a\"\nurl = { envi = \"X\" }\n", 3, "env"),
        ("[[target]]\nid = \"a\"\nurl = \"sqlite:a.db\"\nlabel = {}\n", 4, "labels"),
        ("[coordinator]\naddreses = []\n", 2, "addresses"),
    ] {
        let text = error(text);
        assert!(text.starts_with(&format!("skein.toml:{line}:")), "{text}");
        assert!(text.contains(&format!("did you mean `{meant}`?")), "{text}");
    }
}

#[test]
fn a_target_stands_once() {
    let text = error(
        "[[target]]\nid = \"eu-1\"\nurl = \"sqlite:a.db\"\n\n[[target]]\nid = \"eu-1\"\nurl = \"sqlite:b.db\"\n",
    );
    assert!(text.starts_with("skein.toml:6:6: target `eu-1` stands here and on line 2"), "{text}");
}

#[test]
fn what_is_no_target_is_refused_at_its_place() {
    for (target, place, word) in [
        ("id = \"a b\"\nurl = \"sqlite:a.db\"", "2:6", "cannot be an id"),
        ("id = \"a\"\nurl = \"oracle://h/d\"", "3:7", "scheme"),
        ("id = \"a\"\nurl = \"sqlite:a.db\"\nengine = \"postgres\"", "3:7", "sqlite"),
        ("id = \"a\"\nurl = \"sqlite:a.db\"\nengine = \"oracle\"", "4:10", "unknown variant"),
        ("id = \"a\"\nurl = \"sqlite:a.db\"\nschema = \"s\"", "4:10", "schema"),
        ("id = \"a\"\nurl = { env = \"X\", file = \"y\" }", "3:7", "exactly one"),
        ("id = \"a\"\nurl = 5", "3:7", "a URL"),
        ("id = \"a\"", "1:1", "missing field `url`"),
    ] {
        let text = error(&format!("[[target]]\n{target}\n"));
        assert!(text.starts_with(&format!("skein.toml:{place}:")), "{text}");
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn coordinators_are_dialled_by_plain_addresses() {
    for (addresses, word) in [
        ("[]", "no address"),
        ("[\"https://a:1\"]", "TLS"),
        ("[\"a:1\"]", "scheme http"),
        ("[\"http://\"]", "cannot be parsed"),
    ] {
        let text = error(&format!("[coordinator]\naddresses = {addresses}\n"));
        assert!(text.contains(word), "{text}");
    }
    assert!(error("[agent]\nslots = 0\n").starts_with("skein.toml:2:9:"));
    assert!(error("[strategy]\nbudget = { percent = 101 }\n").contains("at most 100"));
}

#[test]
fn no_error_shows_a_password() {
    for text in [
        "[[target]]\nid = \"a\"\nurl = \"postgres://app:canary@db\"\n",
        "[[target]]\nid = \"a\"\nurl = \"postgres://app:canary@db:x/orders\"\n",
        "[[target]]\nid = \"a\"\nurl = \"postgres://app:canary@db/orders\n",
        "[[target]]\nid = \"a\"\nurls = \"postgres://app:canary@db/orders\"\n",
        "[agent]\nslots = \"postgres://app:canary@db/orders\"\n",
        "[[target]]\nid = \"a\"\nurl = \"postgres:///d?user=a&password=canary&port=x\"\n",
        "[project]\nactor = \"a\" url = \"postgres://app:can@ary@db/orders\"\n",
    ] {
        let text = error(text);
        assert!(!text.contains("canary") && !text.contains("ary@"), "{text}");
    }
    let file = read("[[target]]\nid = \"a\"\nurl = \"postgres://app:canary@db/orders\"\n")
        .expect("the file is in order");
    assert!(!format!("{file:?}").contains("canary"), "{file:?}");
}

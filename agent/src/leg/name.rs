//! What a leg's archive is called.

use skein_proto::agent::v1::Leg;

use crate::db::Engine;

/// `eu/orders-017/r-12-1842.pgdump.zst`. The fence makes it the leg's own; `again` tells apart what
/// one leg takes twice, after its agent died with the first archive unreported.
pub(super) fn archive(leg: &Leg, engine: Engine, again: u32) -> String {
    let target: Vec<String> = leg.target.split('/').map(plain).collect();
    let suffix = match engine {
        Engine::Postgres => "pgdump",
        Engine::Mysql => "sql",
        Engine::Sqlite => "db",
    };
    let again = if again == 0 { String::new() } else { format!("-{again}") };
    let rollout = plain(&leg.rollout);
    format!("{}/{rollout}-{}{again}.{suffix}.zst", target.join("/"), leg.fence)
}

/// A part of a path that every store takes as it is.
fn plain(part: &str) -> String {
    let mut plain: String = part
        .chars()
        .take(100)
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' })
        .collect();
    if plain.is_empty() || plain.starts_with('.') {
        plain.insert(0, '_');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_whatever_the_ids_are() {
        for (target, rollout, expected) in [
            ("eu/orders-017", "r-12", "eu/orders-017/r-12-9.db.zst"),
            ("a//../b", "", "a/_/_../b/_-9.db.zst"),
            ("x", "über rollout", "x/_ber_rollout-9.db.zst"),
        ] {
            let leg = Leg {
                fence: 9,
                target: target.to_owned(),
                rollout: rollout.to_owned(),
                ..Leg::default()
            };
            assert_eq!(archive(&leg, Engine::Sqlite, 0), expected);
            assert!(archive(&leg, Engine::Sqlite, 2).ends_with("-9-2.db.zst"));
        }
    }
}

//! How far a statement in batches has come: one row beside the intent, written in the transaction of each
//! batch. It counts only while the intent says that its statement runs in batches.

use super::answer::{Answer, text};
use super::intent::Intent;
use super::ledger::Tables;
use super::location::Engine;
use super::order::Order;
use super::sql::{hex, literal};

/// What the keys of a batched statement are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    Numbers,
    /// Texts and UUIDs.
    Texts,
}

impl Keys {
    /// By the type's name in the catalogue; on SQLite, by that of a value.
    pub(crate) fn of(engine: Engine, type_name: &str) -> Option<Self> {
        let (numbers, texts): (&[&str], &[&str]) = match engine {
            Engine::Postgres => {
                (&["smallint", "integer", "bigint"], &["text", "character varying", "uuid"])
            }
            Engine::Mysql => (
                &["tinyint", "smallint", "mediumint", "int", "bigint"],
                &["char", "varchar", "tinytext", "text", "mediumtext", "longtext", "uuid"],
            ),
            Engine::Sqlite => (&["integer"], &["text"]),
        };
        let name = type_name.to_ascii_lowercase();
        if numbers.contains(&name.as_str()) {
            Some(Self::Numbers)
        } else {
            texts.contains(&name.as_str()).then_some(Self::Texts)
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Numbers => "numbers",
            Self::Texts => "texts",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Numbers, Self::Texts].into_iter().find(|keys| keys.as_str() == text)
    }

    /// A key as it may stand in a statement; `None`: it is no key of this kind.
    pub(crate) fn literal(self, engine: Engine, key: &str) -> Option<String> {
        match self {
            Self::Numbers => key.parse::<i128>().ok().map(|number| number.to_string()),
            // The column's collation has to win over that of the literal, which `CONVERT` would not allow.
            Self::Texts if engine == Engine::Mysql => {
                Some(format!("_utf8mb4 X'{}'", hex(key.as_bytes())))
            }
            Self::Texts => Some(literal(engine, key)),
        }
    }
}

/// Where a statement in batches is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ground {
    pub(crate) keys: Keys,
    /// The lowest and the highest key when it was begun; `None`: there were no rows.
    pub(crate) range: Option<(String, String)>,
    /// The highest key of the last batch; `None`: there was none.
    pub(crate) done: Option<String>,
    pub(crate) batches: u64,
    pub(crate) rows: u64,
}

impl Ground {
    /// How much of the range is behind it.
    pub(crate) fn percent(&self) -> Option<u8> {
        let (first, last) = self.range.as_ref().filter(|_| self.keys == Keys::Numbers)?;
        let number = |key: &str| key.parse::<i128>().ok();
        let (first, last) = (number(first)?, number(last)?);
        let Some(done) = self.done.as_deref() else { return Some(0) };
        let (behind, all) = (number(done)? - first + 1, last - first + 1);
        u8::try_from(behind.clamp(0, all) * 100 / all.max(1)).ok()
    }

    /// What stands, for a message.
    pub(crate) fn described(&self) -> String {
        let (batches, rows) = (self.batches, self.rows);
        let plural = if batches == 1 { "" } else { "es" };
        let percent = self.percent().map(|percent| format!(", {percent} % of the keys"));
        format!("{batches} batch{plural} done, {rows} rows{}", percent.unwrap_or_default())
    }
}

impl Tables {
    pub(crate) fn create_batches(&self) -> String {
        let (batches, text, long) = (self.batches(), self.text_type(), self.long_text_type());
        let options = self.options();
        format!(
            "CREATE TABLE IF NOT EXISTS {batches} (id bigint NOT NULL PRIMARY KEY, \
             step {text} NOT NULL, direction {text} NOT NULL, statement bigint NOT NULL, \
             digest {text} NOT NULL, key_type {text} NOT NULL, key_first {long}, key_last {long}, \
             key_done {long}, batches bigint NOT NULL, rows_done bigint NOT NULL, \
             at_ms bigint NOT NULL){options};\n"
        )
    }

    pub(crate) fn clear_batches(&self) -> String {
        format!("DELETE FROM {} WHERE id = 1;\n", self.batches())
    }

    /// Writes where the statement begins, over what stood there: two statements.
    pub(crate) fn write_batches(&self, order: &Order, statement: u64, ground: &Ground) -> String {
        let (batches, clear, now) = (self.batches(), self.clear_batches(), self.now_ms());
        let (step, digest) = (literal(self.engine, &order.step), hex(&order.digest));
        let (direction, keys) = (order.direction, ground.keys.as_str());
        let key = |key: Option<&String>| {
            key.map_or_else(|| "NULL".to_owned(), |key| literal(self.engine, key))
        };
        let (first, last) = ground.range.as_ref().map(|(first, last)| (first, last)).unzip();
        let (first, last) = (key(first), key(last));
        format!(
            "{clear}INSERT INTO {batches} (id, step, direction, statement, digest, key_type, \
             key_first, key_last, key_done, batches, rows_done, at_ms) VALUES (1, {step}, \
             '{direction}', {statement}, '{digest}', '{keys}', {first}, {last}, NULL, 0, 0, {now});\n"
        )
    }

    /// Writes that one batch more is done. Affects no row where the fence has passed the order, or somebody
    /// else ran a batch meanwhile.
    pub(crate) fn advance_batches(
        &self,
        order: &Order,
        ground: &Ground,
        (to, rows): (&str, u64),
    ) -> String {
        let (batches, fence, now) = (self.batches(), self.fence(), self.now_ms());
        let (step, to) = (literal(self.engine, &order.step), literal(self.engine, to));
        let (direction, token, known) = (order.direction, order.token, ground.batches);
        format!(
            "UPDATE {batches} SET key_done = {to}, batches = batches + 1, \
             rows_done = rows_done + {rows}, at_ms = {now} WHERE id = 1 AND step = {step} \
             AND direction = '{direction}' AND batches = {known} \
             AND (SELECT token FROM {fence} WHERE id = 1) <= {token};\n"
        )
    }

    pub(crate) fn read_batches(&self) -> String {
        format!(
            "SELECT step, direction, statement, digest, key_type, key_first, key_last, key_done, \
             batches, rows_done FROM {} WHERE id = 1;\n",
            self.batches()
        )
    }
}

/// Reads what [`Tables::read_batches`] asked for: the row that belongs to an intent.
pub(crate) fn read(answer: &Answer, intent: &Intent) -> Option<Ground> {
    let row = answer.rows.first()?;
    let owned = |column| text(row, column).map(str::to_owned);
    let same = text(row, 0)? == intent.step
        && text(row, 1)? == intent.direction.as_str()
        && text(row, 2)?.parse::<u64>().ok()? == intent.statement
        && text(row, 3)? == hex(&intent.digest);
    same.then_some(Ground {
        keys: Keys::parse(text(row, 4)?)?,
        range: owned(5).zip(owned(6)),
        done: owned(7),
        batches: text(row, 8)?.parse().ok()?,
        rows: text(row, 9)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_literals_or_nothing() {
        let number = |key| Keys::Numbers.literal(Engine::Postgres, key);
        assert_eq!(number("18446744073709551615").as_deref(), Some("18446744073709551615"));
        assert_eq!(number("-3").as_deref(), Some("-3"));
        for no in ["1.5", "1; DROP TABLE t", "", "0x10", "NaN"] {
            assert_eq!(number(no), None, "{no:?}");
        }
        let text = |engine, key| Keys::Texts.literal(engine, key).unwrap();
        assert_eq!(text(Engine::Postgres, "o'x"), "E'o''x'");
        assert_eq!(text(Engine::Mysql, "o'x"), "_utf8mb4 X'6f2778'");
        assert_eq!(text(Engine::Sqlite, "a"), "'a'");
    }

    #[test]
    fn a_range_of_numbers_has_a_share() {
        let ground = |keys, first: &str, last: &str, done: Option<&str>| Ground {
            keys,
            range: Some((first.to_owned(), last.to_owned())),
            done: done.map(str::to_owned),
            batches: 1,
            rows: 2,
        };
        let percent = |first, last, done| ground(Keys::Numbers, first, last, done).percent();
        assert_eq!(percent("1", "100", None), Some(0));
        assert_eq!(percent("1", "100", Some("37")), Some(37));
        assert_eq!(percent("-50", "49", Some("-1")), Some(50));
        assert_eq!(percent("7", "7", Some("7")), Some(100));
        assert_eq!(percent("0", "18446744073709551615", Some("9223372036854775807")), Some(50));
        assert_eq!(ground(Keys::Texts, "a", "z", Some("m")).percent(), None);
    }
}

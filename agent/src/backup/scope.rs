//! How much of a database a backup holds.

use std::fmt;

/// How much of a database a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of it: the database, or the one schema that the target is.
    Database,
    /// These tables with their rows. Types, functions and tables they refer to are not in it, so
    /// it is for putting tables back where they came from. SQLite has no such backup: there the
    /// whole database is taken, and [`super::Archive::scope`] says so.
    Tables(Vec<Table>),
    /// Definitions without rows. SQLite: the whole database, as above.
    SchemaOnly,
}

/// A table's name, exactly as the catalogue has it (no quotes, no folding of case).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Table {
    schema: Option<String>,
    name: String,
}

impl Table {
    /// A table of the target's schema, or of the search path where the target is a whole database.
    pub fn named(name: impl Into<String>) -> Self {
        Self { schema: None, name: name.into() }
    }

    /// A table of this schema (PostgreSQL).
    pub fn in_schema(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: Some(schema.into()), name: name.into() }
    }

    /// The schema, where one was named.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The table.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database => f.write_str("database"),
            Self::SchemaOnly => f.write_str("schema only"),
            Self::Tables(tables) => {
                f.write_str("tables")?;
                for (at, table) in tables.iter().enumerate() {
                    write!(f, "{}{table}", if at == 0 { " " } else { ", " })?;
                }
                Ok(())
            }
        }
    }
}

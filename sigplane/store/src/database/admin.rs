//! What an administrator does to a database: looking at it, bringing it up to date, filling it from another one.

/// How a table stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableState {
    /// Its name.
    pub table: &'static str,
    /// The version that this software needs.
    pub wanted: i64,
    /// The version that the table `version` says; none when it says nothing.
    pub version: Option<i64>,
    /// About how many rows it has; none when it is not there.
    pub rows: Option<u64>,
    /// What it lacks: how each column is to be added.
    pub missing: Vec<String>,
}

impl TableState {
    /// Whether it can be used.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.rows.is_some() && self.version == Some(self.wanted) && self.missing.is_empty()
    }

    /// Whether another software has made it newer than this one knows it.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        self.version.is_some_and(|version| version > self.wanted)
    }
}

/// How many rows were inserted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Into `dispatcher`.
    pub dispatcher: u64,
    /// Into `address`.
    pub address: u64,
    /// Into `subscriber`.
    pub subscribers: u64,
}

/// Of the columns in a definition those that a table lacks.
pub(super) fn missing(definition: &str, there: &[String]) -> Vec<String> {
    let lines = definition
        .lines()
        .map(|line| line.trim().trim_end_matches(','));
    lines
        .filter(|line| {
            let name = line.split(' ').next().unwrap_or_default().trim_matches('`');
            let is_column = !matches!(name, "" | "CONSTRAINT" | "INDEX" | "PRIMARY");
            is_column && !there.iter().any(|c| c.eq_ignore_ascii_case(name))
        })
        .map(str::to_owned)
        .collect()
}

/// What brings them up to date. What is not there is made by opening, and what has no version is somebody else's.
pub(super) fn steps(tables: &[TableState]) -> Vec<String> {
    let mut steps = Vec::new();
    for table in tables {
        let Some(version) = table.version.filter(|v| *v <= table.wanted) else {
            continue;
        };
        if table.rows.is_none() {
            continue;
        }
        let (name, wanted) = (table.table, table.wanted);
        for column in &table.missing {
            steps.push(format!("ALTER TABLE {name} ADD COLUMN {column}"));
        }
        if version < wanted {
            steps.push(format!(
                "UPDATE version SET table_version = {wanted} WHERE table_name = '{name}'"
            ));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_added_and_nothing_else_touched() {
        let definition = "id INT,
            `partition` INT DEFAULT 0,
            a VARCHAR(5),
            CONSTRAINT x UNIQUE (a)";
        let there = ["ID".to_owned(), "other".to_owned()];
        let lacks = missing(definition, &there);
        assert_eq!(lacks, ["`partition` INT DEFAULT 0", "a VARCHAR(5)"]);
        let state = |version, rows| TableState {
            table: "t",
            wanted: 7,
            version,
            rows,
            missing: vec!["a INT".to_owned()],
        };
        let tables = [
            state(Some(6), Some(1)),
            state(Some(8), Some(1)),
            state(None, Some(1)),
            state(Some(6), None),
        ];
        assert!(tables[1].is_newer() && !tables[0].is_newer());
        assert_eq!(
            steps(&tables),
            [
                "ALTER TABLE t ADD COLUMN a INT",
                "UPDATE version SET table_version = 7 WHERE table_name = 't'"
            ]
        );
    }
}

//! Which tables are configuration: what somebody has put there, and wants on another machine, too.

/// A table, and the columns that make a row of it another one than those that are there; none for a table that is a machine's own
/// history or state. Every table of the schema is here.
pub(super) const CONFIGURATION: [(&str, Option<&[&str]>); 11] = [
    ("dispatcher", Some(&["setid", "destination"])),
    ("address", Some(&["grp", "ip_addr", "mask", "port", "tag"])),
    ("subscriber", Some(&["username", "domain"])),
    ("did_routing", Some(&["tenant", "did"])),
    ("trunk_routing", Some(&["tenant", "prefix", "trunk"])),
    // What is registered is registered here; phones come by themselves.
    ("location", None),
    // Calls that have ended here, and those that are up.
    ("cdr", None),
    ("acc", None),
    ("fs_cdr", None),
    ("dialog", None),
    // How far this machine's journal has come.
    ("tandem_spool", None),
];

/// The names of all tables, and whether they are configuration.
#[must_use]
pub fn tables() -> Vec<(&'static str, bool)> {
    let all = CONFIGURATION.iter();
    all.map(|(table, keys)| (*table, keys.is_some())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::{mariadb, sqlite};

    #[test]
    fn of_every_table_it_is_said_whether_it_is_configuration() {
        let mut said: Vec<_> = tables().into_iter().map(|(table, _)| table).collect();
        said.sort_unstable();
        for mut there in [sqlite::table_names(), mariadb::table_names()] {
            there.sort_unstable();
            assert_eq!(
                there, said,
                "say in CONFIGURATION whether a new table goes into an export"
            );
        }
    }
}

//! Reading the tables that decisions are taken from.

use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, Row as _};
use tandem_policy::{AddressRow, BadRow, DispatcherRow};

use super::{Database, DatabaseError};

/// The tables' rows, in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableRows {
    /// `dispatcher`
    pub dispatcher: Vec<DispatcherRow>,
    /// `address`
    pub address: Vec<AddressRow>,
    /// Rows with a value that its column cannot have. What a value means is policy's to judge.
    pub bad: Vec<BadRow>,
}

impl Database {
    /// Reads `dispatcher` and `address` as they are at one moment.
    ///
    /// # Errors
    /// Names the file and what is wrong.
    pub async fn tables(&mut self) -> Result<TableRows, DatabaseError> {
        self.check_identity()?;
        let failed = self.failed("read the dispatcher and address tables");
        let mut transaction = self.connection.begin().await.map_err(&failed)?;
        let dispatcher = sqlx::query(
            "SELECT id, setid, destination, flags, priority, attrs, description
             FROM dispatcher ORDER BY id",
        )
        .fetch_all(&mut *transaction)
        .await
        .map_err(&failed)?;
        let address =
            sqlx::query("SELECT id, grp, ip_addr, mask, port, tag FROM address ORDER BY id")
                .fetch_all(&mut *transaction)
                .await
                .map_err(&failed)?;
        transaction.rollback().await.map_err(&failed)?;

        let mut rows = TableRows::default();
        let TableRows {
            dispatcher: targets,
            address: addresses,
            bad,
        } = &mut rows;
        collect("dispatcher", &dispatcher, dispatcher_row, targets, bad);
        collect("address", &address, address_row, addresses, bad);
        Ok(rows)
    }
}

fn collect<T>(
    table: &'static str,
    from: &[SqliteRow],
    read: fn(&SqliteRow) -> Result<T, String>,
    rows: &mut Vec<T>,
    bad: &mut Vec<BadRow>,
) {
    for row in from {
        match read(row) {
            Ok(row) => rows.push(row),
            Err(reason) => {
                let id = row.try_get("id").unwrap_or_default();
                bad.push(BadRow { table, id, reason });
            }
        }
    }
}

fn dispatcher_row(row: &SqliteRow) -> Result<DispatcherRow, String> {
    Ok(DispatcherRow {
        id: number(row, "id")?,
        setid: number(row, "setid")?,
        destination: text(row, "destination")?,
        flags: number(row, "flags")?,
        priority: number(row, "priority")?,
        attrs: text(row, "attrs")?,
        description: text(row, "description")?,
    })
}

fn address_row(row: &SqliteRow) -> Result<AddressRow, String> {
    Ok(AddressRow {
        id: number(row, "id")?,
        grp: number(row, "grp")?,
        ip_addr: text(row, "ip_addr")?,
        mask: number(row, "mask")?,
        port: number(row, "port")?,
        tag: text(row, "tag")?,
    })
}

/// A whole number; NULL is 0, as Kamailio's columns default to it.
fn number<T: TryFrom<i64>>(row: &SqliteRow, column: &'static str) -> Result<T, String> {
    let value: Option<i64> = row
        .try_get(column)
        .map_err(|_| format!("{column} is not a whole number"))?;
    let value = value.unwrap_or(0);
    T::try_from(value).map_err(|_| format!("{column} cannot be {value}"))
}

/// A text; NULL is empty.
fn text(row: &SqliteRow, column: &'static str) -> Result<String, String> {
    let value: Option<String> = row
        .try_get(column)
        .map_err(|_| format!("{column} is not a text"))?;
    Ok(value.unwrap_or_default())
}

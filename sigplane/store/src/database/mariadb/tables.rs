//! Reading Kamailio's tables. Columns go by their names; numbers are read as signed ones of 64 bits
//! whatever their columns are, texts in UTF-8.

use sqlx::mysql::MySqlRow;
use sqlx::{Connection as _, Row as _};
use tandem_policy::{AddressRow, BadRow, DidRow, DispatcherRow, SubscriberRow};

use super::error::is_incomparable;
use super::{MariaDb, MariaDbError};
use crate::database::{TableRows, WantedTables};

impl MariaDb {
    pub(in crate::database) async fn tables(
        &mut self,
        wanted: WantedTables,
    ) -> Result<TableRows, MariaDbError> {
        let (dispatcher, address, users, numbers) = self
            .run("read the tables", async |c| {
                let mut transaction = c.begin_with("START TRANSACTION READ ONLY").await?;
                let dispatcher = sqlx::query(
                    "SELECT CAST(id AS SIGNED) AS id, CAST(setid AS SIGNED) AS setid, destination,
                         CAST(flags AS SIGNED) AS flags, CAST(priority AS SIGNED) AS priority,
                         attrs, description
                     FROM dispatcher ORDER BY id",
                )
                .fetch_all(&mut *transaction)
                .await?;
                let address = sqlx::query(
                    "SELECT CAST(id AS SIGNED) AS id, CAST(grp AS SIGNED) AS grp, ip_addr,
                         CAST(mask AS SIGNED) AS mask, CAST(port AS SIGNED) AS port, tag
                     FROM address ORDER BY id",
                )
                .fetch_all(&mut *transaction)
                .await?;
                let users = if wanted.subscribers {
                    sqlx::query(
                        "SELECT CAST(id AS SIGNED) AS id, username, domain, password, ha1, ha1b
                         FROM subscriber ORDER BY subscriber.id",
                    )
                    .fetch_all(&mut *transaction)
                    .await?
                } else {
                    Vec::new()
                };
                let numbers = if wanted.dids {
                    sqlx::query(
                        "SELECT CAST(id AS SIGNED) AS id, tenant, did, dest_type, destination,
                             CAST(setid AS SIGNED) AS setid, description
                         FROM did_routing ORDER BY did_routing.id",
                    )
                    .fetch_all(&mut *transaction)
                    .await?
                } else {
                    Vec::new()
                };
                transaction.rollback().await?;
                Ok((dispatcher, address, users, numbers))
            })
            .await?;
        let mut rows = TableRows::default();
        let TableRows {
            dispatcher: targets,
            address: addresses,
            subscribers,
            dids,
            bad,
        } = &mut rows;
        collect("dispatcher", &dispatcher, dispatcher_row, targets, bad);
        collect("address", &address, address_row, addresses, bad);
        collect("subscriber", &users, subscriber_row, subscribers, bad);
        collect("did_routing", &numbers, did_row, dids, bad);
        Ok(rows)
    }

    pub(in crate::database) async fn subscriber(
        &mut self,
        username: &str,
        domain: &str,
    ) -> Result<Vec<SubscriberRow>, MariaDbError> {
        let rows = self
            .run("look for a subscriber", async |c| {
                let found = sqlx::query(
                    "SELECT CAST(id AS SIGNED) AS id, username, domain, password, ha1, ha1b
                     FROM subscriber WHERE username = ? AND domain IN (?, '')",
                )
                .bind(username)
                .bind(domain)
                .fetch_all(c)
                .await;
                match found {
                    // A character that the column cannot have: nobody is called so.
                    Err(error) if is_incomparable(&error) => Ok(Vec::new()),
                    found => found,
                }
            })
            .await?;
        // The server may compare without case, and without spaces at the end. Values that are no texts are named when all are read.
        Ok(rows
            .iter()
            .filter_map(|row| subscriber_row(row).ok())
            .filter(|row| row.username == username)
            .filter(|row| row.domain.is_empty() || row.domain.eq_ignore_ascii_case(domain))
            .collect())
    }
}

fn collect<T>(
    table: &'static str,
    from: &[MySqlRow],
    read: fn(&MySqlRow) -> Result<T, String>,
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

fn dispatcher_row(row: &MySqlRow) -> Result<DispatcherRow, String> {
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

fn address_row(row: &MySqlRow) -> Result<AddressRow, String> {
    Ok(AddressRow {
        id: number(row, "id")?,
        grp: number(row, "grp")?,
        ip_addr: text(row, "ip_addr")?,
        mask: number(row, "mask")?,
        port: number(row, "port")?,
        tag: text(row, "tag")?,
    })
}

fn did_row(row: &MySqlRow) -> Result<DidRow, String> {
    Ok(DidRow {
        id: number(row, "id")?,
        tenant: text(row, "tenant")?,
        did: text(row, "did")?,
        dest_type: text(row, "dest_type")?,
        destination: text(row, "destination")?,
        setid: number(row, "setid")?,
        description: text(row, "description")?,
    })
}

fn subscriber_row(row: &MySqlRow) -> Result<SubscriberRow, String> {
    Ok(SubscriberRow {
        id: number(row, "id")?,
        username: text(row, "username")?,
        domain: text(row, "domain")?,
        password: text(row, "password")?,
        ha1: text(row, "ha1")?,
        ha1b: text(row, "ha1b")?,
    })
}

/// A whole number; NULL is 0, as Kamailio's columns default to it.
pub(super) fn number<T: TryFrom<i64>>(row: &MySqlRow, column: &'static str) -> Result<T, String> {
    let value: Option<i64> = row
        .try_get(column)
        .map_err(|_| format!("{column} is not a whole number"))?;
    let value = value.unwrap_or(0);
    T::try_from(value).map_err(|_| format!("{column} cannot be {value}"))
}

/// A text, in a column of texts or of bytes; NULL is empty.
pub(super) fn text(row: &MySqlRow, column: &'static str) -> Result<String, String> {
    let no_text = || format!("{column} is not a text");
    let value: Option<Vec<u8>> = row.try_get(column).map_err(|_| no_text())?;
    String::from_utf8(value.unwrap_or_default()).map_err(|_| no_text())
}

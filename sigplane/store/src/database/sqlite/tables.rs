//! Reading the tables that decisions are taken from.

use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, Row as _};
use tandem_policy::{AddressRow, BadRow, DidRow, DispatcherRow, SubscriberRow};

use super::SqliteDatabase;
use crate::database::{DatabaseError, TableRows, WantedTables};

impl SqliteDatabase {
    /// Reads `dispatcher`, `address` and what else is wanted, as they are at one moment.
    ///
    /// # Errors
    /// Names the file and what is wrong.
    pub(in crate::database) async fn tables(
        &mut self,
        wanted: WantedTables,
    ) -> Result<TableRows, DatabaseError> {
        self.check_identity()?;
        let failed = self.failed("read the tables");
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
        let users = if wanted.subscribers {
            sqlx::query(
                "SELECT id, username, domain, password, ha1, ha1b FROM subscriber ORDER BY id",
            )
            .fetch_all(&mut *transaction)
            .await
            .map_err(&failed)?
        } else {
            Vec::new()
        };
        let numbers = if wanted.dids {
            sqlx::query(
                "SELECT id, tenant, did, dest_type, destination, setid, description FROM did_routing ORDER BY id",
            )
            .fetch_all(&mut *transaction)
            .await
            .map_err(&failed)?
        } else {
            Vec::new()
        };
        transaction.rollback().await.map_err(&failed)?;

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

    /// The rows of one user, in its domain and in every domain.
    pub(in crate::database) async fn subscriber(
        &mut self,
        username: &str,
        domain: &str,
    ) -> Result<Vec<SubscriberRow>, DatabaseError> {
        self.check_identity()?;
        let failed = self.failed("read the subscriber table");
        let rows = sqlx::query(
            "SELECT id, username, domain, password, ha1, ha1b FROM subscriber
             WHERE username = ?1 AND domain COLLATE NOCASE IN (?2, '')",
        )
        .bind(username)
        .bind(domain)
        .fetch_all(&mut self.connection)
        .await
        .map_err(failed)?;
        // A value of another kind is no secret that anybody could know; reading all of them names it.
        Ok(rows
            .iter()
            .filter_map(|row| subscriber_row(row).ok())
            .collect())
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

fn did_row(row: &SqliteRow) -> Result<DidRow, String> {
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

fn subscriber_row(row: &SqliteRow) -> Result<SubscriberRow, String> {
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
pub(super) fn number<T: TryFrom<i64>>(row: &SqliteRow, column: &'static str) -> Result<T, String> {
    let value: Option<i64> = row
        .try_get(column)
        .map_err(|_| format!("{column} is not a whole number"))?;
    let value = value.unwrap_or(0);
    T::try_from(value).map_err(|_| format!("{column} cannot be {value}"))
}

/// A text; NULL is empty.
pub(super) fn text(row: &SqliteRow, column: &'static str) -> Result<String, String> {
    let value: Option<String> = row
        .try_get(column)
        .map_err(|_| format!("{column} is not a text"))?;
    Ok(value.unwrap_or_default())
}

//! Reading `trunk_routing`, which may have a million rows.

use sqlx::sqlite::SqliteRow;
use sqlx::{Connection as _, Row as _};
use tandem_policy::TrunkRow;

use super::SqliteDatabase;
use super::tables::{number, text};
use crate::database::rows::ROUTES_AT_A_TIME;
use crate::database::{DatabaseError, RouteRows, RoutesStamp};

impl SqliteDatabase {
    /// Reads it, unless nobody has changed the database since `known`.
    ///
    /// # Errors
    /// Names the file and what is wrong.
    pub(in crate::database) async fn routes(
        &mut self,
        known: Option<&RoutesStamp>,
    ) -> Result<Option<RouteRows>, DatabaseError> {
        self.check_identity()?;
        let failed = self.failed("read trunk_routing");
        // Another number whenever another connection has written; what this one writes are CDRs and registrations. It
        // says nothing to another connection than this.
        let version: i64 = sqlx::query_scalar("PRAGMA data_version")
            .fetch_one(&mut self.connection)
            .await
            .map_err(&failed)?;
        let stamp = RoutesStamp::new(format!("{:?} {version}", self.opened));
        if known == Some(&stamp) {
            return Ok(None);
        }
        let mut read = RouteRows::new(stamp);
        let mut transaction = self.connection.begin().await.map_err(&failed)?;
        let mut last = i64::MIN;
        loop {
            let rows = sqlx::query(
                "SELECT id, tenant, prefix, trunk, priority, weight FROM trunk_routing
                 WHERE id > ?1 ORDER BY id LIMIT ?2",
            )
            .bind(last)
            .bind(ROUTES_AT_A_TIME)
            .fetch_all(&mut *transaction)
            .await
            .map_err(&failed)?;
            let Some(row) = rows.last() else {
                break;
            };
            last = row.try_get("id").unwrap_or(i64::MAX);
            for row in &rows {
                read.add(row.try_get("id").unwrap_or_default(), trunk_row(row));
            }
        }
        transaction.rollback().await.map_err(&failed)?;
        Ok(Some(read))
    }
}

fn trunk_row(row: &SqliteRow) -> Result<TrunkRow, String> {
    Ok(TrunkRow {
        id: number(row, "id")?,
        tenant: text(row, "tenant")?,
        prefix: text(row, "prefix")?,
        trunk: text(row, "trunk")?,
        priority: number(row, "priority")?,
        weight: number(row, "weight")?,
        description: String::new(),
    })
}

//! Reading `trunk_routing`, which may have a million rows.

use sqlx::Row as _;
use sqlx::mysql::MySqlRow;
use tandem_policy::TrunkRow;

use super::tables::{number, text};
use super::{MariaDb, MariaDbError};
use crate::database::rows::ROUTES_AT_A_TIME;
use crate::database::{RouteRows, RoutesStamp};

impl MariaDb {
    /// Reads it, unless it is as it was at `known`. Each part has the deadline of a statement. What changes meanwhile is seen by the
    /// next reading: the stamp is that of before.
    pub(in crate::database) async fn routes(
        &mut self,
        known: Option<&RoutesStamp>,
    ) -> Result<Option<RouteRows>, MariaDbError> {
        let (count, sum): (i64, i64) = self
            .run("look whether trunk_routing has changed", async |c| {
                sqlx::query_as(
                    "SELECT COUNT(*), CAST(COALESCE(SUM(CRC32(CONCAT_WS('|', id, tenant, prefix, trunk, priority, weight))), 0) AS SIGNED)
                     FROM trunk_routing",
                )
                .fetch_one(c)
                .await
            })
            .await?;
        let stamp = RoutesStamp::new(format!("{count} {sum}"));
        if known == Some(&stamp) {
            return Ok(None);
        }
        let mut read = RouteRows::new(stamp);
        let mut last = i64::MIN;
        loop {
            let rows = self
                .run("read trunk_routing", async |c| {
                    sqlx::query(
                        "SELECT CAST(id AS SIGNED) AS id, tenant, prefix, trunk,
                             CAST(priority AS SIGNED) AS priority, CAST(weight AS SIGNED) AS weight
                         FROM trunk_routing WHERE trunk_routing.id > ? ORDER BY trunk_routing.id LIMIT ?",
                    )
                    .bind(last)
                    .bind(ROUTES_AT_A_TIME)
                    .fetch_all(c)
                    .await
                })
                .await?;
            let Some(row) = rows.last() else {
                return Ok(Some(read));
            };
            last = row.try_get("id").unwrap_or(i64::MAX);
            for row in &rows {
                read.add(row.try_get("id").unwrap_or_default(), trunk_row(row));
            }
        }
    }
}

fn trunk_row(row: &MySqlRow) -> Result<TrunkRow, String> {
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

//! What is written in one transaction.

use std::collections::HashMap;

use tandem_policy::{Cdr, DialogRow, EndCause, Follower, LocationRow};

use super::signed;
use crate::journal::Change;

/// Changes of a node.
pub(super) struct Batch<'a> {
    pub(super) node: u16,
    /// The last one's sequence number.
    pub(super) newest: u64,
    pub(super) changes: &'a [(u64, Change)],
    pub(super) readers: Readers<'a>,
    /// Whether CDRs are in Kamailio's `acc`, too.
    pub(super) acc: bool,
}

/// What makes rows of what the journal has.
#[derive(Clone, Copy)]
pub struct Readers<'a> {
    /// Of an address of record.
    pub location: &'a dyn Fn(&[u8]) -> Vec<LocationRow>,
    /// Of a call; none for one that has no row.
    pub dialog: &'a dyn Fn(&[u8]) -> Option<DialogRow>,
}

/// A row of `acc`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AccRow<'a> {
    pub(super) method: &'static str,
    pub(super) from_tag: &'a str,
    pub(super) to_tag: &'a str,
    pub(super) callid: &'a str,
    pub(super) sip_code: u16,
    pub(super) sip_reason: &'a str,
    /// In Unix seconds.
    pub(super) time_s: i64,
}

/// What Kamailio would have accounted of these calls: the final answer to the INVITE, and of those that were answered the BYE.
pub(super) fn acc_rows<'a>(cdrs: &[(u64, &'a Cdr)]) -> Vec<AccRow<'a>> {
    let seconds = |ms: u64| signed(ms / 1_000);
    let mut rows = Vec::new();
    for (_, cdr) in cdrs {
        let invite = AccRow {
            method: "INVITE",
            from_tag: &cdr.from_tag,
            to_tag: &cdr.to_tag,
            callid: &cdr.callid,
            sip_code: cdr.sip_code,
            sip_reason: &cdr.sip_reason,
            time_s: seconds(cdr.answer_ms.unwrap_or(cdr.end_ms)),
        };
        let tags = match cdr.cause {
            EndCause::Callee => (invite.to_tag, invite.from_tag),
            _ => (invite.from_tag, invite.to_tag),
        };
        rows.push(invite);
        if cdr.answer_ms.is_some() {
            rows.push(AccRow {
                method: "BYE",
                from_tag: tags.0,
                to_tag: tags.1,
                callid: &cdr.callid,
                sip_code: 200,
                sip_reason: "OK",
                time_s: seconds(cdr.end_ms),
            });
        }
    }
    rows
}

/// A call as it is now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DialogState {
    /// The node, and the call's number: together no other's for 34 years.
    pub(super) hash_entry: u32,
    pub(super) hash_id: u32,
    /// None for one that is over.
    pub(super) row: Option<DialogRow>,
}

/// An address of record as it is now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Located {
    /// How the `ruid` of each of its rows begins.
    prefix: String,
    pub(super) rows: Vec<LocationRow>,
}

impl Batch<'_> {
    /// The CDRs behind this sequence number.
    pub(super) fn cdrs(&self, after: u64) -> Vec<(u64, &Cdr)> {
        let new = self.changes.iter().filter(|(s, _)| *s > after);
        new.filter_map(|(sequence, change)| match change {
            Change::Cdr(cdr) => Some((*sequence, &**cdr)),
            Change::FsCdr(_) | Change::Row { .. } => None,
        })
        .collect()
    }

    /// What a table follows that has changed behind this sequence number, each once, as it was at last.
    fn followed(&self, after: u64, wanted: Follower) -> Vec<(u64, Option<&[u8]>)> {
        let mut latest = HashMap::new();
        for (sequence, change) in self.changes {
            match change {
                Change::Row {
                    follower,
                    key,
                    body,
                } if *sequence > after && *follower == wanted => {
                    latest.insert(*key, body.as_deref());
                }
                _ => {}
            }
        }
        // By their keys: two nodes that write to one table lock its rows in the same order.
        let mut latest: Vec<_> = latest.into_iter().collect();
        latest.sort_unstable_by_key(|(key, _)| *key);
        latest
    }

    /// The addresses of record that have changed behind this sequence number, each once, as it was at last.
    pub(super) fn located(&self, after: u64) -> Vec<Located> {
        let read = |body: &[u8]| {
            let mut rows = (self.readers.location)(body);
            rows.retain(fits);
            rows
        };
        self.followed(after, Follower::Location)
            .into_iter()
            .map(|(key, body)| Located {
                prefix: format!("tnd-{}-{key:x}-", self.node),
                rows: body.map(read).unwrap_or_default(),
            })
            .collect()
    }

    /// The calls that have changed behind this sequence number, each once, as it was at last.
    pub(super) fn dialogs(&self, after: u64) -> Vec<DialogState> {
        self.followed(after, Follower::Dialog)
            .into_iter()
            .map(|(key, body)| DialogState {
                hash_entry: u32::from(self.node) << 16 | (key >> 32) as u32 & 0xffff,
                hash_id: key as u32,
                row: body.and_then(self.readers.dialog),
            })
            .collect()
    }
}

impl Located {
    /// The `ruid` of its row with this number. Their order is that of the numbers.
    pub(super) fn ruid(&self, number: usize) -> String {
        format!("{}{number:04}", self.prefix)
    }

    /// The rows that it has no more: from the first `ruid` to before the second.
    pub(super) fn gone(&self) -> (String, String) {
        // What comes next behind `-`.
        let end = self.prefix.trim_end_matches('-').to_owned() + ".";
        (self.ruid(self.rows.len()), end)
    }
}

/// Whether Kamailio's columns take it, in its tables' usual character set. Half a contact, or one with other letters, would be another one's.
fn fits(row: &LocationRow) -> bool {
    let is_latin = |c: char| c.is_ascii() || ('\u{a0}'..='\u{ff}').contains(&c);
    let is_short = |text: &String, most| text.chars().count() <= most && text.chars().all(is_latin);
    is_short(&row.username, 64)
        && is_short(&row.domain, 64)
        && is_short(&row.contact, 512)
        && is_short(&row.path, 512)
}

/// As much of a text as its column takes, in characters.
pub(super) fn fit(text: &str, most: usize) -> &str {
    match text.char_indices().nth(most) {
        Some((end, _)) => text.get(..end).unwrap_or_default(),
        None => text,
    }
}

/// NULL for a text that is not there.
pub(super) fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(body: &[u8]) -> Vec<LocationRow> {
        let row = |letter: &u8| LocationRow {
            username: char::from(*letter).to_string().repeat(usize::from(*letter)),
            ..LocationRow::default()
        };
        body.iter().map(row).collect()
    }

    const READERS: Readers<'_> = Readers {
        location: &rows,
        dialog: &|body| {
            (!body.is_empty()).then(|| DialogRow {
                callid: String::from_utf8_lossy(body).into_owned(),
                ..DialogRow::default()
            })
        },
    };

    #[test]
    fn a_call_has_a_row_while_it_lasts() {
        let change = |sequence, key, body: Option<&[u8]>| {
            let (follower, body) = (Follower::Dialog, body.map(<[u8]>::to_vec));
            (
                sequence,
                Change::Row {
                    follower,
                    key,
                    body,
                },
            )
        };
        let key = 0x1_2345_6789_abcd;
        let changes = [
            change(1, key, Some(b"one")),
            change(2, 7, Some(b"two")),
            change(3, key, Some(b"one again")),
            change(4, 7, None),
        ];
        let batch = Batch {
            node: 3,
            newest: 4,
            changes: &changes,
            readers: READERS,
            acc: false,
        };
        let dialogs = batch.dialogs(0);
        let seen: Vec<_> = dialogs
            .iter()
            .map(|d| {
                (
                    d.hash_entry,
                    d.hash_id,
                    d.row.as_ref().map(|r| r.callid.as_str()),
                )
            })
            .collect();
        let entry = 3 << 16;
        let expected = [
            (entry, 7, None),
            (entry | 0x2345, 0x6789_abcd, Some("one again")),
        ];
        assert_eq!(seen, expected);
        assert!(batch.located(0).is_empty() && batch.dialogs(4).is_empty());
    }

    #[test]
    fn a_call_is_accounted_as_kamailio_does() {
        let refused = crate::journal::tests::cdr("refused");
        let answered = Cdr {
            sip_code: 200,
            sip_reason: "OK".into(),
            answer_ms: Some(1_700_000_005_999),
            end_ms: 1_700_000_009_000,
            cause: EndCause::Callee,
            ..crate::journal::tests::cdr("answered")
        };
        let rows = acc_rows(&[(1, &refused), (2, &answered)]);
        let seen: Vec<_> = rows
            .iter()
            .map(|r| (r.method, r.sip_code, r.time_s))
            .collect();
        let end = signed(refused.end_ms / 1_000);
        assert_eq!(
            seen,
            [
                ("INVITE", 486, end),
                ("INVITE", 200, 1_700_000_005),
                ("BYE", 200, 1_700_000_009)
            ]
        );
        assert_eq!(rows[2].from_tag, answered.to_tag, "the callee has hung up");
    }

    #[test]
    fn each_address_of_record_is_written_once_as_it_was_at_last() {
        let change = |sequence, key, body: Option<&[u8]>| {
            let body = body.map(<[u8]>::to_vec);
            let follower = Follower::Location;
            (
                sequence,
                Change::Row {
                    follower,
                    key,
                    body,
                },
            )
        };
        let changes = [
            change(1, 7, Some(b"0")),
            change(2, 255, Some(&[1, 2])),
            change(3, 8, Some(&[1])),
            change(4, 7, Some(&[3])),
            change(5, 8, None),
        ];
        let batch = Batch {
            node: 3,
            newest: 5,
            changes: &changes,
            readers: READERS,
            acc: false,
        };
        let located = batch.located(1);
        let found: Vec<_> = located.iter().map(|l| (l.ruid(0), l.rows.len())).collect();
        let expected = [
            ("tnd-3-7-0000", 1),
            ("tnd-3-8-0000", 0),
            ("tnd-3-ff-0000", 2),
        ];
        assert_eq!(found, expected.map(|(ruid, rows)| (ruid.to_owned(), rows)));
        let (from, to) = located[2].gone();
        assert_eq!((from.as_str(), to.as_str()), ("tnd-3-ff-0002", "tnd-3-ff."));
        assert!(located[2].ruid(1) < from && located[2].ruid(9_999) < to);
        assert_eq!(batch.located(4).len(), 1);
        // `A` is 65 characters long.
        let long = [change(1, 1, Some(b"A"))];
        let batch = Batch {
            changes: &long,
            ..batch
        };
        assert!(batch.located(0)[0].rows.is_empty());
    }
}

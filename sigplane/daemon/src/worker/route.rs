//! Whose are the dataplane's answers: the link's socket has one owner, and every worker's commands go by
//! it.
//!
//! A command's number says its worker in bits 48 to 55; bit 63 is that of the shell's own (see `requests`).
//! The dataplane returns numbers unread. Lists of flows are asked for once on behalf of all, since each
//! of them would have every flow of the node: each worker gets the reports of its own calls.

use tandem_call::{ShardTable, shard_of_key};
use tandem_link::{Cookie, Event, FromDataplane};

/// Where the worker stands in a number.
const WORKER: u32 = 48;

/// What is to be done with a worker's `ListFlows`.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// The workers' numbers for it that wait for the next list.
    waiting: Vec<(u16, u64)>,
    /// The number of the list under way, and who waits for it.
    open: Option<(u64, Vec<(u16, u64)>)>,
    /// Whether there was one in this session.
    begun: bool,
}

/// A message of the dataplane for a worker.
pub(super) type Addressed = (u16, FromDataplane);

/// A worker's number in the session.
pub(super) const fn numbered(worker: u16, seq: u64) -> u64 {
    seq | (worker as u64) << WORKER
}

/// The worker and its own number.
const fn split(seq: u64) -> (u16, u64) {
    ((seq >> WORKER & 0xff) as u16, seq & ((1 << WORKER) - 1))
}

impl Lists {
    /// A worker wants the flows. The number to ask for them with, if it is time.
    pub(super) fn ask(&mut self, shards: ShardTable, worker: u16, seq: u64) -> Option<u64> {
        // One who asks again has given the former list up.
        self.waiting.retain(|(other, _)| *other != worker);
        self.waiting.push((worker, seq));
        // At the session's beginning every worker asks.
        let all = self.begun || self.waiting.len() >= usize::from(shards.workers());
        if all { self.begin() } else { None }
    }

    fn begin(&mut self) -> Option<u64> {
        let (worker, seq) = *self.waiting.first()?;
        if self.open.is_some() {
            return None;
        }
        self.begun = true;
        let number = numbered(worker, seq);
        self.open = Some((number, std::mem::take(&mut self.waiting)));
        Some(number)
    }

    pub(super) fn session_ended(&mut self) {
        *self = Self::default();
    }

    /// Whom a message is for. The second value is the number of another list that is to be asked for.
    pub(super) fn route(
        &mut self,
        shards: ShardTable,
        message: FromDataplane,
    ) -> (Vec<Addressed>, Option<u64>) {
        let owner = |cookie: Cookie| shards.owner(shard_of_key(cookie.0));
        let open = |seq| self.open.as_ref().filter(|(number, _)| *number == seq);
        let one = match message {
            FromDataplane::Flow { seq, report } if open(seq).is_some() => {
                let to = owner(report.spec.cookie);
                let waits = open(seq).and_then(|(_, who)| who.iter().find(|(w, _)| *w == to));
                let Some((to, seq)) = waits.copied() else {
                    return (Vec::new(), None);
                };
                (to, FromDataplane::Flow { seq, report })
            }
            FromDataplane::Done { seq, result } if open(seq).is_some() => {
                let who = self.open.take().map(|(_, who)| who).unwrap_or_default();
                let done = |(to, seq)| {
                    let result = result.clone();
                    (to, FromDataplane::Done { seq, result })
                };
                return (who.into_iter().map(done).collect(), self.begin());
            }
            FromDataplane::Flow { seq, report } => {
                let (to, seq) = split(seq);
                (to, FromDataplane::Flow { seq, report })
            }
            FromDataplane::Done { seq, result } => {
                let (to, seq) = split(seq);
                (to, FromDataplane::Done { seq, result })
            }
            FromDataplane::Event(event) => {
                let to = match &event {
                    Event::MediaTimeout { cookie, .. }
                    | Event::MediaResumed { cookie, .. }
                    | Event::Latched { cookie, .. }
                    | Event::Flooded { cookie, .. } => owner(*cookie),
                    Event::Captured { .. } | Event::CaptureEnded { .. } | Event::Alarm(_) => 0,
                };
                (to, FromDataplane::Event(event))
            }
            other => (0, other),
        };
        (vec![one], None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tandem_link::{CommandError, FlowId, FlowKind, FlowReport, FlowSpec, LegSpec, LegStats};

    fn report(cookie: u64) -> FlowReport {
        let leg = LegSpec {
            realm: 0,
            local: [192, 0, 2, 1].into(),
            port: 30_000,
            remote: None,
            remote_rtcp: None,
            latched: None,
            latched_rtcp: None,
            learn: 0,
            dscp: 46,
            strict: false,
            event_type: None,
        };
        FlowReport {
            spec: FlowSpec {
                id: FlowId(cookie << 12),
                cookie: Cookie(cookie),
                kind: FlowKind::Rtp,
                media: tandem_link::MediaKind::Audio,
                clock_rate: 0,
                a: leg.clone(),
                b: leg,
                timeout_s: 60,
                limit: tandem_link::RateLimit::default(),
            },
            worker: 0,
            a: LegStats::default(),
            b: LegStats::default(),
            idle: false,
        }
    }

    fn done(seq: u64) -> FromDataplane {
        let result = Ok(());
        FromDataplane::Done { seq, result }
    }

    #[test]
    fn answers_go_to_who_asked_by_his_own_number() {
        let shards = ShardTable::deal(64);
        let mut lists = Lists::default();
        for worker in [0, 1, 63] {
            for seq in [1, (1 << 48) - 1] {
                let (to, again) = lists.route(shards, done(numbered(worker, seq)));
                assert_eq!((to, again), (vec![(worker, done(seq))], None));
            }
        }
        assert_eq!(numbered(0, 7), 7, "one worker's numbers are its own");
        let flow = FromDataplane::Flow {
            seq: numbered(5, 3),
            report: report(77),
        };
        let (to, _) = lists.route(shards, flow);
        assert_eq!(to.first().map(|(to, _)| *to), Some(5));
    }

    #[test]
    fn events_go_to_the_owner_of_the_call() {
        let shards = ShardTable::deal(3);
        for key in [0x1000, 0x1001, 0x1002, 0xfff] {
            let event = FromDataplane::Event(Event::MediaTimeout {
                flow: FlowId(1),
                cookie: Cookie(key),
            });
            let (to, _) = Lists::default().route(shards, event.clone());
            let owner = shards.owner((key & 0xfff) as u16);
            assert_eq!(to, [(owner, event)]);
        }
    }

    #[test]
    fn one_list_serves_all_and_each_gets_its_own_flows() {
        let shards = ShardTable::deal(3);
        let mut lists = Lists::default();
        assert_eq!(lists.ask(shards, 1, 1), None);
        assert_eq!(lists.ask(shards, 0, 1), None);
        let number = lists.ask(shards, 2, 1).unwrap();
        for key in 0..9 {
            let flow = FromDataplane::Flow {
                seq: number,
                report: report(key),
            };
            let (to, _) = lists.route(shards, flow);
            let expected = FromDataplane::Flow {
                seq: 1,
                report: report(key),
            };
            assert_eq!(to, [((key % 3) as u16, expected)]);
        }
        // Who asks meanwhile waits for the next one.
        assert_eq!(lists.ask(shards, 2, 9), None);
        let failed = FromDataplane::Done {
            seq: number,
            result: Err(CommandError::Overloaded),
        };
        let (to, next) = lists.route(shards, failed);
        assert_eq!(to.len(), 3);
        assert!(to.iter().all(|(_, m)| matches!(
            m,
            FromDataplane::Done {
                seq: 1,
                result: Err(CommandError::Overloaded)
            }
        )));
        assert_eq!(next, Some(numbered(2, 9)));
        // Flows of those who did not ask are nobody's now.
        let flow = FromDataplane::Flow {
            seq: numbered(2, 9),
            report: report(0),
        };
        assert_eq!(lists.route(shards, flow).0, []);
        let (to, next) = lists.route(shards, done(numbered(2, 9)));
        assert_eq!((to, next), (vec![(2, done(9))], None));
        assert_eq!(lists.ask(shards, 0, 4), Some(4), "not the first any more");
        lists.session_ended();
        assert_eq!(lists.ask(shards, 0, 1), None);
    }

    #[test]
    fn one_worker_waits_for_nobody() {
        let shards = ShardTable::deal(1);
        let mut lists = Lists::default();
        assert_eq!(lists.ask(shards, 0, 1), Some(1));
        let flow = FromDataplane::Flow {
            seq: 1,
            report: report(5),
        };
        assert_eq!(lists.route(shards, flow.clone()).0, [(0, flow)]);
        assert_eq!(lists.route(shards, done(1)).0, [(0, done(1))]);
    }
}

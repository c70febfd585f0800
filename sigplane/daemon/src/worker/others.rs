//! The other workers, as one of them sees them.

use std::collections::VecDeque;
use std::time::Duration;

use crate::ask::ToWorker;
use crate::mailbox::Mailbox;

/// When a full mailbox is tried again.
const RETRY: Duration = Duration::from_millis(1);
/// How long the end waits for a worker that does not empty its mailbox.
const FAREWELL: Duration = Duration::from_secs(5);

/// Their mailboxes. Letters to one worker keep their order.
pub(super) struct Others {
    own: u16,
    peers: Vec<Peer>,
}

struct Peer {
    mailbox: Mailbox,
    /// What found the mailbox full.
    waiting: VecDeque<ToWorker>,
    /// Whether it has letters that it was not woken for.
    left: bool,
}

impl Others {
    /// Every worker's mailbox, that of this one included.
    pub(super) fn new(own: u16, mailboxes: Vec<Mailbox>) -> Self {
        let peer = |mailbox| Peer {
            mailbox,
            waiting: VecDeque::new(),
            left: false,
        };
        Self {
            own,
            peers: mailboxes.into_iter().map(peer).collect(),
        }
    }

    /// A letter that has to arrive. It goes out with [`Self::flush`] at the latest.
    pub(super) fn send(&mut self, to: u16, letter: ToWorker) {
        let Some(peer) = self.peers.get_mut(usize::from(to)) else {
            return;
        };
        peer.left = true;
        if !peer.waiting.is_empty() {
            return peer.waiting.push_back(letter);
        }
        if let Err(letter) = peer.mailbox.put(letter) {
            peer.waiting.push_back(letter);
        }
    }

    /// A letter that is no loss: false when there is no room for it.
    pub(super) fn offer(&mut self, to: u16, letter: ToWorker) -> bool {
        let Some(peer) = self.peers.get_mut(usize::from(to)) else {
            return false;
        };
        if !peer.waiting.is_empty() || peer.mailbox.put(letter).is_err() {
            return false;
        }
        peer.left = true;
        true
    }

    /// The same letter to each of them.
    pub(super) fn send_all(&mut self, letter: impl Fn() -> ToWorker) {
        for to in (0..)
            .zip(&self.peers)
            .map(|(to, _)| to)
            .collect::<Vec<u16>>()
        {
            if to != self.own {
                self.send(to, letter());
            }
        }
    }

    /// Wakes those that have letters. At the end of each turn.
    pub(super) fn flush(&mut self) {
        for peer in self.peers.iter_mut().filter(|peer| peer.left) {
            while let Some(letter) = peer.waiting.pop_front() {
                if let Err(letter) = peer.mailbox.put(letter) {
                    peer.waiting.push_front(letter);
                    break;
                }
            }
            peer.left = !peer.waiting.is_empty();
            peer.mailbox.ring();
        }
    }

    /// How soon [`Self::flush`] has something to try again.
    pub(super) fn retry(&self) -> Option<Duration> {
        let waits = self.peers.iter().any(|peer| !peer.waiting.is_empty());
        waits.then_some(RETRY)
    }

    /// Has them stop, after all that was sent before.
    pub(super) fn stop(&mut self) {
        for (to, peer) in (0..).zip(&mut self.peers) {
            if to == self.own {
                continue;
            }
            let waiting = std::mem::take(&mut peer.waiting);
            for letter in waiting.into_iter().chain([ToWorker::Stop]) {
                if !peer.mailbox.wait(letter, FAREWELL) {
                    tracing::error!("SIP worker {to} does not read its letters");
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::mailbox;

    fn number(letter: ToWorker) -> u16 {
        match letter {
            ToWorker::Unblocked(source) => match source.prefix().0 {
                std::net::IpAddr::V4(ip) => u16::from_be_bytes([ip.octets()[2], ip.octets()[3]]),
                std::net::IpAddr::V6(_) => panic!("no number"),
            },
            _ => panic!("no number"),
        }
    }

    fn letter(number: u16) -> ToWorker {
        let [high, low] = number.to_be_bytes();
        let ip = std::net::IpAddr::from([10, 0, high, low]);
        ToWorker::Unblocked(tandem_policy::defence::Source::of(ip))
    }

    #[test]
    fn a_full_mailbox_loses_nothing_that_has_to_arrive_and_keeps_the_order() {
        let (own, other) = (mailbox().unwrap(), mailbox().unwrap());
        let mut others = Others::new(0, vec![own.0, other.0]);
        for n in 0..5_000 {
            others.send(1, letter(n));
        }
        assert!(!others.offer(1, letter(9_999)), "there is no room");
        assert!(others.retry().is_some());
        let mut got = Vec::new();
        while got.len() < 5_000 {
            others.flush();
            while let Some(letter) = other.1.next() {
                got.push(number(letter));
            }
        }
        assert_eq!(got, (0..5_000).collect::<Vec<_>>());
        assert_eq!(others.retry(), None);
        assert!(others.offer(1, letter(1)));
        others.send_all(|| letter(2));
        others.flush();
        assert_eq!(other.1.next().map(number), Some(1));
        assert_eq!(other.1.next().map(number), Some(2));
        assert!(own.1.next().is_none() && other.1.next().is_none());
    }
}

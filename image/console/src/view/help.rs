//! Help.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::frame::window;
use super::paint::{BOLD, PLAIN};
use crate::model::{Model, Screen};
use crate::text::wrap;

/// What a screen is for.
const fn about(screen: Screen) -> &'static str {
    match screen {
        Screen::Overview => {
            "All that matters on one page: alarms, calls and calls per second, media, cores, targets, versions."
        }
        Screen::Ports => {
            "The dataplane's ports with packets and megabits a second in each direction, their queues, and what is dropped, by its reason. docs/guide/counters.md says what each reason means."
        }
        Screen::Cores => {
            "How the dataplane's workers and the SIP workers keep up. Busy is the part of its time in which a worker found something to do; a gap is more than 1 ms in which it was away."
        }
        Screen::Calls => {
            "Calls in progress. Enter follows the selected one message by message; c follows a call by its Call-ID, also one that has not begun; x ends it."
        }
        Screen::Media => {
            "The media of the calls in progress, the worst first. The score (MOS) is the E-model's (ITU-T G.107) of what arrived here."
        }
        Screen::Targets => {
            "Media servers and trunks. A target that drains gets no new calls and keeps those that it has."
        }
        Screen::Users => {
            "Registered users and their contacts. The search looks through all of them."
        }
        Screen::Alarms => "What is wrong now: with the dataplane, and with the system's updates.",
        Screen::Logs => {
            "The last lines of both planes' logs. l turns the least level, / filters by text, f follows the newest line."
        }
        Screen::System => {
            "High availability, the image's slots and versions, and the machine's services."
        }
        Screen::Load => {
            "Load tests: choose a profile, start it, watch it. A profile that wants DPDK ports needs ports that the appliance does not have; k sends by the kernel's sockets."
        }
        Screen::Setup => "The set-up of the machine: hardware, ports, addresses, name, key.",
        Screen::Ladder => {
            "One call as a ladder: who sent what to whom, through us. Only SIP over UDP is seen, and only from when it is followed on; the call's record says what was before."
        }
    }
}

/// Draws it if it is asked for.
pub(super) fn draw(model: &Model, body: Rect, buffer: &mut Buffer) {
    if !model.help {
        return;
    }
    let width = body.width.saturating_sub(4).min(76);
    let room = usize::from(width.saturating_sub(4));
    let mut lines = vec![(format!("{} - help", model.screen.tab()), BOLD)];
    lines.extend(
        wrap(about(model.screen), room)
            .into_iter()
            .map(|line| (line, PLAIN)),
    );
    let keys = |hints: &[crate::model::Hint]| {
        let all: Vec<_> = hints
            .iter()
            .map(|(key, does)| format!("{key} {does}"))
            .collect();
        all.join("   ")
    };
    if !model.screen.hints().is_empty() {
        lines.push((String::new(), PLAIN));
        lines.push(("Here".to_owned(), BOLD));
        lines.extend(
            wrap(&keys(model.screen.hints()), room)
                .into_iter()
                .map(|line| (line, PLAIN)),
        );
    }
    lines.push((String::new(), PLAIN));
    lines.push(("Everywhere".to_owned(), BOLD));
    let screens: Vec<_> = Screen::tabs()
        .iter()
        .map(|s| format!("{} {}", s.key(), s.tab()))
        .collect();
    for text in [
        screens.join("  "),
        "Tab and Shift-Tab next and last screen   q or Esc back   ? help".to_owned(),
        "PgUp PgDn Home End go through a list   Ctrl-L draws anew   Ctrl-C leaves".to_owned(),
    ] {
        lines.extend(wrap(&text, room).into_iter().map(|line| (line, PLAIN)));
    }
    window(body, width, &lines, buffer);
}

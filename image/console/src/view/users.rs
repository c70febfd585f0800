//! Registered users.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::paint::{FAINT, heading, put};
use super::split;
use super::table::{Cell, Table, place};
use crate::model::{Model, Screen};
use crate::text::age;

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let users = model.shown_users();
    let (top, bottom) = split(area, area.height.saturating_sub(8));
    let fit = usize::from(top.height.saturating_sub(2));
    let list = model.list(Screen::Users);
    let first = list.first(fit);
    let all = model.rates.signaling("registered_users_now").unwrap_or(0);
    let found = model.users.value();
    let more = match found {
        Some(found) if found.more => format!(", the first of {all}"),
        _ => String::new(),
    };
    let title = format!("Registered users  {}{more}", place(first, fit, users.len()));
    heading(buffer, top, 0, &title);
    let rows: Vec<Vec<Cell>> = users
        .iter()
        .skip(first)
        .take(fit)
        .map(|u| {
            let last = u.contacts.last();
            vec![
                u.aor.clone().into(),
                u.contacts.len().to_string().into(),
                last.map_or("-".to_owned(), |c| age(c.expires_s)).into(),
                last.map_or(String::new(), |c| c.received.clone()).into(),
                last.map_or(String::new(), |c| c.user_agent.clone()).into(),
            ]
        })
        .collect();
    let table = Table {
        headings: &["user", ">contacts", ">expires in", "from", "user agent"],
        selected: Some(list.selected),
        first,
        empty: match (found, model.users.down()) {
            (Some(found), _) if !found.filter.is_empty() => "no user has this in it",
            (Some(_), _) => "nobody is registered",
            (None, Some((why, _))) => why,
            (None, None) => "asking ...",
        },
    };
    table.draw(buffer, split(top, 1).1, &rows);
    heading(buffer, bottom, 0, "Contacts of the selected user");
    let Some(user) = users.get(list.selected) else {
        return;
    };
    for (row, contact) in (1..bottom.height).zip(user.contacts.iter().rev()) {
        let text = format!(
            "{}  for {}  q {:.1}  by {}  {}",
            contact.contact,
            age(contact.expires_s),
            f64::from(contact.q) / 1e3,
            contact.socket,
            contact.path
        );
        put(buffer, bottom, (1, row), &text, FAINT);
    }
}

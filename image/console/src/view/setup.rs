//! The set-up of the machine.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::paint::{BAD, BAR, BOLD, FAINT, GOOD, ODD, PLAIN, heading, pieces, put, state};
use super::split;
use super::table::{Cell, Table, styled};
use crate::feed::Machine;
use crate::model::{Field, Model, Setup, Step};
use crate::text::wrap;

pub(super) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let setup = &model.setup;
    let mut column = 0;
    for (index, step) in Step::ALL.iter().enumerate() {
        let style = if *step == setup.step { BAR } else { FAINT };
        let text = format!(" {} {} ", index + 1, step.name());
        column += put(buffer, area, (column, 0), &text, style) + 1;
    }
    let (_, area) = split(area, 2);
    let machine = match &setup.machine {
        None => {
            put(buffer, area, (1, 0), "looking at the machine ...", FAINT);
            return;
        }
        Some(Err(why)) => {
            put(buffer, area, (1, 0), why, BAD);
            return;
        }
        Some(Ok(machine)) => machine,
    };
    match setup.step {
        Step::Hardware => hardware(setup, machine, area, buffer),
        Step::Ports => ports(setup, machine, area, buffer),
        Step::Addresses | Step::Name => form(setup, area, buffer),
        Step::Summary => summary(setup, area, buffer),
        Step::Done => done(setup, area, buffer),
    }
}

fn hardware(setup: &Setup, machine: &Machine, area: Rect, buffer: &mut Buffer) {
    let mut row = 0;
    for (name, value) in &machine.rows {
        pieces(
            buffer,
            area,
            row,
            &[(&format!(" {name:<12}"), FAINT), (value, PLAIN)],
        );
        row += 1;
    }
    if machine.configured {
        let text =
            "There is a configuration already: this set-up would replace it, and keep it beside.";
        put(buffer, area, (1, row), text, ODD);
        row += 1;
    }
    if let Some(why) = &machine.locked {
        put(buffer, area, (1, row), why, BAD);
        row += 1;
    }
    let (_, area) = split(area, row + 1);
    let plan = match &machine.plan {
        Ok(plan) => plan,
        Err(why) => {
            heading(buffer, area, 0, "No profile");
            for (row, line) in (1..).zip(wrap(why, usize::from(area.width) - 2)) {
                put(buffer, area, (1, row), &line, BAD);
            }
            return;
        }
    };
    heading(
        buffer,
        area,
        0,
        &format!("Profile proposed: {}", plan.profile),
    );
    let (_, area) = split(area, 1);
    let width = usize::from(area.width).saturating_sub(4);
    let shortfalls = plan.shortfalls.iter().map(|text| (text, ODD, "! "));
    let reasons = plan.reasons.iter().map(|text| (text, PLAIN, "- "));
    let mut row = 0;
    for (text, style, mark) in shortfalls.chain(reasons).skip(setup.at) {
        for (index, line) in wrap(text, width).iter().enumerate() {
            let mark = if index == 0 { mark } else { "  " };
            pieces(
                buffer,
                area,
                row,
                &[(" ", PLAIN), (mark, style), (line, style)],
            );
            row += 1;
        }
    }
}

fn ports(setup: &Setup, machine: &Machine, area: Rect, buffer: &mut Buffer) {
    let rows: Vec<Vec<Cell>> = machine
        .ports
        .iter()
        .map(|port| {
            let or = |text: &str, none: &str| if text.is_empty() { none } else { text }.to_owned();
            vec![
                port.address.clone().into(),
                setup.role(&port.address).into(),
                styled(or(&port.link, "?"), state(&port.link)),
                port.speed.map_or("-".to_owned(), |s| s.to_string()).into(),
                or(&port.profile, "none").into(),
                or(&port.driver, "-").into(),
                or(&port.interface, "-").into(),
            ]
        })
        .collect();
    let table = Table {
        headings: &[
            "port",
            "for",
            "link",
            ">Mbit/s",
            "profile",
            "driver",
            "interface",
        ],
        selected: Some(setup.at),
        first: 0,
        empty: "no network cards",
    };
    let (top, bottom) = split(
        area,
        (rows.len() as u16 + 2).min(area.height.saturating_sub(6)),
    );
    table.draw(buffer, top, &rows);
    for (row, text) in (0..).zip([
        "c carrier   k core   m management   h link of an HA pair   n as proposed",
        "b lets the port's light blink for ten seconds, while the kernel still has it.",
        "The link of an HA pair stays the kernel's; nothing is configured for it yet.",
    ]) {
        put(buffer, bottom, (1, row), text, FAINT);
    }
    if let Err(why) = &machine.plan {
        for (row, line) in (4..).zip(wrap(why, usize::from(area.width) - 2)) {
            put(buffer, bottom, (1, row), &line, BAD);
        }
    }
}

fn form(setup: &Setup, area: Rect, buffer: &mut Buffer) {
    let fields = Field::of(setup.step);
    let mut row = 0;
    for (index, field) in fields.iter().enumerate() {
        let here = index == setup.at;
        let text = setup.field(*field);
        let room = usize::from(area.width).saturating_sub(36);
        let skip = text.chars().count().saturating_sub(room);
        let tail: String = text.chars().skip(skip).collect();
        pieces(
            buffer,
            area,
            row,
            &[
                (if here { "► " } else { "  " }, BOLD),
                (
                    &format!("{:<30}", field.name()),
                    if here { BOLD } else { PLAIN },
                ),
                (&tail, BOLD),
                (if here { "_" } else { "" }, ODD),
                (if text.is_empty() { "  " } else { "" }, PLAIN),
                (if text.is_empty() { field.hint() } else { "" }, FAINT),
            ],
        );
        row += 1;
        if matches!(
            field,
            Field::CarrierVlan | Field::CoreVlan | Field::ManagementAllow
        ) {
            row += 1;
        }
    }
    let of_fields = setup.mistakes.iter().filter(|m| {
        fields
            .iter()
            .any(|f| m.starts_with(f.name()) && !setup.field(*f).is_empty())
    });
    for mistake in of_fields {
        for line in wrap(mistake, usize::from(area.width) - 2) {
            put(buffer, area, (1, row + 1), &line, BAD);
            row += 1;
        }
    }
}

fn summary(setup: &Setup, area: Rect, buffer: &mut Buffer) {
    let width = usize::from(area.width).saturating_sub(2);
    let mut lines = Vec::new();
    match setup.mistakes.as_slice() {
        [] => lines.push(("No mistakes. w or Enter writes it.".to_owned(), GOOD)),
        all => {
            lines.push((
                format!("{} to be put right (Left goes back):", all.len()),
                BAD,
            ));
            for mistake in all {
                lines.extend(wrap(mistake, width).into_iter().map(|line| (line, BAD)));
            }
        }
    }
    lines.push((String::new(), PLAIN));
    for field in Field::of(Step::Name) {
        let text = match setup.field(*field) {
            "" => "-",
            text => text,
        };
        lines.push((format!("{}: {text}", field.name()), PLAIN));
    }
    for (name, text) in [
        ("/etc/tandem/management.toml", setup.management()),
        ("/etc/tandem/tandem.toml", setup.configuration()),
    ] {
        lines.push((String::new(), PLAIN));
        lines.push((name.to_owned(), BOLD));
        for (number, line) in (1..).zip(text.lines()) {
            lines.push((format!("{number:>3}  {line}"), PLAIN));
        }
    }
    let fit = usize::from(area.height);
    let first = setup.at.min(lines.len().saturating_sub(fit));
    for (row, (text, style)) in lines.iter().skip(first).take(fit).enumerate() {
        put(buffer, area, (1, row as u16), text, *style);
    }
}

fn done(setup: &Setup, area: Rect, buffer: &mut Buffer) {
    let Some(news) = &setup.news else {
        put(buffer, area, (1, 0), "nothing was written yet", FAINT);
        return;
    };
    let mut row = 0;
    for (step, result) in &news.steps {
        let (mark, text, style) = match result {
            Ok(text) => ("done  ", text, GOOD),
            Err(text) => ("FAILED", text, BAD),
        };
        pieces(
            buffer,
            area,
            row,
            &[(" ", PLAIN), (mark, style), (" ", PLAIN), (step, BOLD)],
        );
        row += 1;
        for line in wrap(text, usize::from(area.width).saturating_sub(9)) {
            if !line.is_empty() {
                put(buffer, area, (8, row), &line, FAINT);
                row += 1;
            }
        }
    }
    let is_well = news.steps.iter().all(|(_, result)| result.is_ok());
    let text = match (news.done, is_well) {
        (false, _) => "at work ...",
        (true, true) => {
            "All is done. 1 shows the machine at work; isolated cores and large huge pages come with the next start."
        }
        (true, false) => "Left goes back to the summary.",
    };
    for line in wrap(text, usize::from(area.width).saturating_sub(2)) {
        put(buffer, area, (1, row + 1), &line, BOLD);
        row += 1;
    }
}

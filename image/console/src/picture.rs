//! Pictures of screens: a recorded run, shown again and drawn as SVG and as text.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use tandem_hwprofiles::{Core, Iommu, Machine, Nic, Node, PciAddress};

use crate::feed::{Feed, TraceNews, Wishes};
use crate::look::Look;
use crate::model::{Event, Field, Known, Model, Screen, Step, Trace};
use crate::view::draw;

/// Columns and rows of a picture.
const SIZE: (u16, u16) = (100, 30);
/// Pixels of a cell.
const CELL: (u16, u16) = (9, 18);

/// Why there is no picture.
#[derive(Debug)]
pub struct PictureError(String);

impl std::fmt::Display for PictureError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PictureError {}

/// Draws the screens of a recorded run into a folder; gives the files' names.
///
/// # Errors
/// When the recording cannot be read, has nothing in it, or a picture cannot be written.
pub fn pictures(recording: &Path, folder: &Path) -> Result<Vec<String>, PictureError> {
    let failed =
        |path: &Path, error: std::io::Error| PictureError(format!("{}: {error}", path.display()));
    let text = fs::read_to_string(recording).map_err(|error| failed(recording, error))?;
    let mut model = Model::default();
    let mut last = 0;
    let mut calls = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let (now, feed): (u64, Feed) = serde_json::from_str(line).map_err(|error| {
            PictureError(format!("{}: line {number}: {error}", recording.display()))
        })?;
        match &feed {
            // The rest of the run is without its planes.
            Feed::Figures(Err(_)) if model.figures.value().is_some() => break,
            Feed::Figures(Ok(figures)) if !figures.status.dataplane_up => break,
            Feed::Calls(Ok(found)) => calls.extend(found.items.iter().cloned()),
            Feed::Trace(TraceNews::Started(_)) => {
                model.trace = Some(Trace::new(String::new(), None));
            }
            Feed::Trace(TraceNews::Message(message)) => {
                let id = message
                    .lines
                    .iter()
                    .find_map(|l| l.strip_prefix("Call-ID: "));
                if let (Some(trace), Some(id)) = (&mut model.trace, id) {
                    let known = calls.iter().rev().find(|call| call.call_id == id);
                    trace.known = known.map(Known::from).or(trace.known.take());
                    id.clone_into(&mut trace.call_id);
                }
            }
            // Not the machine that the run was on: one as it is bought.
            Feed::Machine(_) => continue,
            _ => {}
        }
        let _ = model.update(now, Event::Feed(Box::new(feed)));
        last = now;
    }
    for (field, text) in [
        (Field::CarrierAddress, "192.0.2.10/24"),
        (Field::CarrierGateway, "192.0.2.1"),
        (Field::CoreAddress, "10.20.0.10/24"),
        (Field::ManagementAllow, "198.51.100.0/24"),
        (Field::Name, "edge-1"),
    ] {
        model.setup.fields.insert(field, text.to_owned());
    }
    let machine = crate::shell::machine::of(&server(), None, &Wishes::default()).map(Box::new);
    let _ = model.update(last, Event::Feed(Box::new(Feed::Machine(machine))));
    if last == 0 {
        return Err(PictureError(format!(
            "{}: it is empty",
            recording.display()
        )));
    }
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let mut written = Vec::new();
    let set_up = Step::ALL.into_iter().filter(|step| *step != Step::Done);
    let screens = Screen::ALL
        .into_iter()
        .filter(|screen| *screen != Screen::Setup)
        .map(|screen| (screen, Step::Hardware));
    for (screen, step) in screens.chain(set_up.map(|step| (Screen::Setup, step))) {
        model.screen = screen;
        model.setup.step = step;
        if screen == Screen::Ladder && model.trace.is_none() {
            continue;
        }
        let mut buffer = Buffer::empty(Rect::new(0, 0, SIZE.0, SIZE.1));
        let look = Look {
            colour: true,
            unicode: true,
        };
        draw(&model, look, &mut buffer);
        let name = match screen {
            Screen::Setup => step.name().to_lowercase().replace(' ', "-"),
            screen => screen.tab().to_lowercase(),
        };
        let name = match screen {
            Screen::Setup => format!("console-setup-{name}.svg"),
            _ => format!("console-{name}.svg"),
        };
        let path = folder.join(&name);
        fs::write(&path, svg(&buffer)).map_err(|error| failed(&path, error))?;
        written.push(name);
    }
    Ok(written)
}

/// A server for the pictures of the set-up: two ports of 25 Gbit/s, and one for management.
fn server() -> Machine {
    let nic = |(bus, function): (u8, u8), id: (u16, u16), interface: &str, speed: u32| Nic {
        address: PciAddress {
            domain: 0,
            bus,
            device: 0,
            function,
        },
        vendor: id.0,
        device: id.1,
        node: Some(0),
        driver: Some(if speed > 1_000 { "ice" } else { "igb" }.to_owned()),
        interface: Some(interface.to_owned()),
        mac: None,
        carrier: Some(true),
        speed_mbps: Some(speed),
        group: None,
        virtual_of: None,
        virtual_functions: 0,
        pcie: None,
        has_default_route: speed <= 1_000,
    };
    let core = |id: u16| Core {
        id,
        core: id.into(),
        package: 0,
        node: 0,
    };
    Machine {
        model: "A server with two ports of 25 Gbit/s".to_owned(),
        processor: "16 cores".to_owned(),
        is_virtual: false,
        gigabyte_pages: true,
        memory_mb: 65_536,
        cores: (0..16).map(core).collect(),
        nodes: vec![Node {
            id: 0,
            memory_mb: 65_536,
            pages: Vec::new(),
        }],
        nics: vec![
            nic((0x01, 0), (0x8086, 0x1521), "eno1", 1_000),
            nic((0x41, 0), (0x8086, 0x1593), "enp65s0f0", 25_000),
            nic((0x41, 1), (0x8086, 0x1593), "enp65s0f1", 25_000),
        ],
        iommu: Iommu::On,
        command_line: String::new(),
    }
}

/// A buffer as SVG.
fn svg(buffer: &Buffer) -> String {
    let (width, height) = (buffer.area.width, buffer.area.height);
    let (w, h) = (width * CELL.0, height * CELL.1);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" font-family=\"monospace\" font-size=\"15\">\n<rect width=\"{w}\" height=\"{h}\" fill=\"#101418\"/>\n"
    );
    for (y, row) in (0_u16..).zip(buffer.content.chunks(usize::from(width.max(1)))) {
        let mut from = 0;
        while let Some(first) = row.get(from) {
            // Cells that look the same are one piece.
            let same = |cell: &&Cell| look_of(cell) == look_of(first);
            let length = row.iter().skip(from).take_while(same).count();
            let piece: String = row
                .iter()
                .skip(from)
                .take(length)
                .map(Cell::symbol)
                .collect();
            piece_of(
                &mut out,
                &piece,
                look_of(first),
                (from as u16, y, length as u16),
            );
            from += length;
        }
    }
    out + "</svg>\n"
}

type PieceLook = (&'static str, &'static str, bool);

/// Its colours, in front and behind, and whether it is bold.
fn look_of(cell: &Cell) -> PieceLook {
    let front = match cell.fg {
        Color::Red => "#ff6b6b",
        Color::Green => "#7ddc8a",
        Color::Yellow => "#f2cf5b",
        Color::Cyan => "#6fd3e0",
        Color::DarkGray => "#8a949e",
        _ => "#e6eaee",
    };
    let bold = cell.modifier.contains(Modifier::BOLD);
    match cell.modifier.contains(Modifier::REVERSED) {
        true => ("#101418", front, bold),
        false => (front, "", bold),
    }
}

fn piece_of(out: &mut String, text: &str, look: PieceLook, (x, y, length): (u16, u16, u16)) {
    let (front, behind, bold) = look;
    let (px, py, pw) = (x * CELL.0, y * CELL.1, length * CELL.0);
    if !behind.is_empty() {
        let _ = writeln!(
            out,
            "<rect x=\"{px}\" y=\"{py}\" width=\"{pw}\" height=\"{}\" fill=\"{behind}\"/>",
            CELL.1
        );
    }
    if text.trim().is_empty() {
        return;
    }
    let escaped = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let weight = if bold { " font-weight=\"bold\"" } else { "" };
    let _ = writeln!(
        out,
        "<text x=\"{px}\" y=\"{}\" fill=\"{front}\" textLength=\"{pw}\" lengthAdjust=\"spacingAndGlyphs\" xml:space=\"preserve\"{weight}>{escaped}</text>",
        py + 14
    );
}

//! Every screen, as it looks: with daemons up, down, with nothing and with too much in it; and that nothing panics.

mod data;
mod driving;
mod hostile;
mod named;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::look::Look;
use crate::model::{Model, Screen};
use crate::view::draw;

const SIZES: [(u16, u16); 2] = [(80, 24), (200, 60)];

/// A screen as text: what is shown in reverse has `[` before its line.
fn text(model: &Model, (width, height): (u16, u16), look: Look) -> String {
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    draw(model, look, &mut buffer);
    let mut text = String::new();
    for row in buffer.content.chunks(usize::from(width.max(1))) {
        let mut skip = false;
        let line: String = row
            .iter()
            .filter(|cell| {
                // A wide character has the next cell, too.
                let shown = !skip;
                skip = shown && crate::text::columns(cell.symbol()) == 2;
                shown
            })
            .map(|cell| cell.symbol())
            .collect();
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn rich() -> Look {
    Look {
        colour: true,
        unicode: true,
    }
}

fn shown(name: &str, model: &Model) {
    for size in SIZES {
        insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "tests/screens"}, {
            insta::assert_snapshot!(format!("{name}-{}x{}", size.0, size.1), text(model, size, rich()));
        });
    }
}

/// Shows a screen in each of the states of the world.
fn all_states(screen: Screen) {
    let name = screen.tab().to_lowercase();
    for (state, mut model) in [
        ("up", data::up()),
        ("down", data::down()),
        ("empty", data::empty()),
        ("full", data::full()),
    ] {
        model.screen = screen;
        shown(&format!("{name}-{state}"), &model);
    }
}

macro_rules! screens {
    ($($test:ident $screen:ident),* $(,)?) => {
        $(#[test]
        fn $test() {
            all_states(Screen::$screen);
        })*
    };
}

screens! {
    overview Overview,
    ports Ports,
    cores Cores,
    calls Calls,
    media Media,
    pool Targets,
    users Users,
    alarms Alarms,
    logs Logs,
    system System,
    load Load,
    setup Setup,
    ladder Ladder,
}

#[test]
fn a_dataplane_that_is_away_is_said_on_every_screen() {
    let model = data::without_dataplane();
    shown("main-dataplane-down", &model);
}

#[test]
fn help_question_and_writing_are_seen() {
    let mut model = data::up();
    model.help = true;
    shown("help", &model);
    let mut model = data::up();
    driving::keys(&mut model, "6d");
    shown("question", &model);
    let mut model = data::up();
    driving::keys(&mut model, "4/caller");
    shown("writing", &model);
}

#[test]
fn each_step_of_the_set_up_is_seen() {
    use crate::model::{Field, Step};
    let mut model = data::up();
    model.screen = Screen::Setup;
    let fields = &mut model.setup.fields;
    fields.insert(Field::CarrierAddress, "192.0.2.10/24".to_owned());
    fields.insert(Field::CarrierGateway, "192.0.3.1".to_owned());
    fields.insert(Field::CoreAddress, "10.20.0.10/24".to_owned());
    data::feed(
        &mut model,
        data::NOW,
        crate::feed::Feed::Machine(Ok(Box::new(data::machine()))),
    );
    for step in Step::ALL {
        model.setup.step = step;
        shown(
            &format!(
                "setup-step-{}",
                step.name().to_lowercase().replace(' ', "-")
            ),
            &model,
        );
    }
    data::feed(
        &mut model,
        data::NOW,
        crate::feed::Feed::Setup(crate::feed::SetupNews {
            steps: vec![
                (
                    "Configuration is checked".to_owned(),
                    Ok("no mistakes".to_owned()),
                ),
                (
                    "Hardware plan".to_owned(),
                    Err("no port is left for the dataplane".to_owned()),
                ),
            ],
            done: true,
        }),
    );
    shown("setup-step-failed", &model);
}

#[test]
fn a_message_is_shown_in_full() {
    let mut model = data::up();
    model.screen = Screen::Ladder;
    driving::key(&mut model, crate::key::Key::Home);
    driving::key(&mut model, crate::key::Key::Enter);
    shown("message", &model);
}

#[test]
fn a_terminal_without_colour_and_unicode_gets_ascii() {
    let plain = Look {
        colour: false,
        unicode: false,
    };
    for screen in Screen::ALL {
        let mut model = data::up();
        model.screen = screen;
        let shown = text(&model, (80, 24), plain);
        assert!(shown.is_ascii(), "{shown}");
    }
    let mut model = data::up();
    model.screen = Screen::Ladder;
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "tests/screens"}, {
        insta::assert_snapshot!("ascii-80x24", text(&model, (80, 24), plain));
    });
}

#[test]
fn a_terminal_that_is_too_small_is_told_so() {
    let model = data::up();
    let shown = text(&model, (40, 10), rich()).replace('\n', " ");
    assert!(shown.contains("40 columns and 10 rows"), "{shown}");
    for size in [(0, 0), (1, 1), (3, 200), (300, 2)] {
        let _ = text(&model, size, rich());
    }
}

#[test]
fn the_first_start_shows_its_credentials() {
    let mut model = data::down();
    model.credentials = Some("user: admin\npassword: correct-horse\nssh: SHA256:abc\n".to_owned());
    shown("main-first-start", &model);
}

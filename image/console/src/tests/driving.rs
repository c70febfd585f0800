//! Keys do what they say.

use super::data::{self, NOW};
use crate::feed::Effect;
use crate::key::Key;
use crate::model::{Event, Model, Screen};

pub(super) fn key(model: &mut Model, key: Key) -> Vec<Effect> {
    model.update(NOW + 1_000, Event::Key(key))
}

/// Types a text; the last key's effects.
pub(super) fn keys(model: &mut Model, text: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    for c in text.chars() {
        effects = key(model, Key::Char(c));
    }
    effects
}

#[test]
fn digits_letters_and_tab_show_the_screens() {
    let mut model = data::up();
    for screen in Screen::tabs() {
        keys(&mut model, &screen.key().to_string());
        assert_eq!(model.screen, *screen);
    }
    keys(&mut model, "1");
    for screen in Screen::tabs().iter().skip(1) {
        key(&mut model, Key::Tab);
        assert_eq!(model.screen, *screen);
    }
    key(&mut model, Key::Tab);
    assert_eq!(model.screen, Screen::Overview);
    key(&mut model, Key::BackTab);
    assert_eq!(model.screen, Screen::Setup);
}

#[test]
fn a_target_is_drained_after_a_yes_alone() {
    let mut model = data::up();
    assert_eq!(keys(&mut model, "6d"), []);
    assert_eq!(keys(&mut model, "n"), []);
    assert!(model.question.is_none());
    keys(&mut model, "d");
    // No other key answers it, nor does anything else.
    assert_eq!(keys(&mut model, "1dx?"), []);
    assert_eq!(key(&mut model, Key::Enter), []);
    let effects = keys(&mut model, "y");
    let [Effect::SetTarget(params)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(
        (params.target.as_str(), params.set, params.state.as_str()),
        ("1", Some(1), "draining")
    );
    key(&mut model, Key::Down);
    keys(&mut model, "e");
    let effects = keys(&mut model, "y");
    let [Effect::SetTarget(params)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(
        (params.target.as_str(), params.state.as_str()),
        ("2", "active")
    );
}

#[test]
fn a_call_is_followed_filtered_and_ended() {
    let mut model = data::up();
    keys(&mut model, "4/201");
    key(&mut model, Key::Enter);
    assert_eq!(model.shown_calls().len(), 1);
    assert_eq!(model.wants().calls.as_deref(), Some("201"));
    let effects = key(&mut model, Key::Enter);
    assert_eq!(effects, [Effect::Follow("1-4711@192.0.2.100".to_owned())]);
    assert_eq!(model.screen, Screen::Ladder);
    assert_eq!(keys(&mut model, "q"), [Effect::Unfollow]);
    keys(&mut model, "x");
    assert_eq!(keys(&mut model, "y"), [Effect::EndCall(1_001)]);
    // Back takes the filter away first, then goes to the overview, then out.
    keys(&mut model, "q");
    assert_eq!(model.shown_calls().len(), 6);
    keys(&mut model, "q");
    assert_eq!(model.screen, Screen::Overview);
    keys(&mut model, "4c");
    keys(&mut model, "my call");
    let effects = key(&mut model, Key::Enter);
    assert_eq!(effects, [Effect::Follow("my call".to_owned())]);
}

#[test]
fn a_text_that_is_written_is_no_command() {
    let mut model = data::up();
    keys(&mut model, "9/q?1dx");
    assert_eq!(model.screen, Screen::Logs);
    key(&mut model, Key::Backspace);
    key(&mut model, Key::Enter);
    assert_eq!(model.filter(Screen::Logs), "q?1d");
    keys(&mut model, "/more");
    key(&mut model, Key::Esc);
    assert_eq!(model.filter(Screen::Logs), "q?1d");
}

#[test]
fn logs_follow_until_one_looks_back() {
    let mut model = data::full();
    keys(&mut model, "9");
    assert!(model.logs.follow);
    key(&mut model, Key::Up);
    assert!(!model.logs.follow);
    let at = model.list(Screen::Logs).selected;
    assert_eq!(at + 2, model.row_count());
    keys(&mut model, "f");
    assert!(model.logs.follow);
    let rows = model.row_count();
    keys(&mut model, "l");
    assert!(model.row_count() < rows);
}

#[test]
fn a_load_test_is_started_and_stopped_after_a_yes_alone() {
    let mut model = data::full();
    keys(&mut model, "L");
    model.load.phase = crate::model::Phase::None;
    key(&mut model, Key::Down);
    key(&mut model, Key::Enter);
    keys(&mut model, "n");
    keys(&mut model, "k");
    key(&mut model, Key::Enter);
    let start = Effect::StartLoad {
        profile: "/usr/share/tandem-load/profiles/zero-loss.toml".to_owned(),
        socket: true,
    };
    assert_eq!(keys(&mut model, "y"), [start]);
    model.load.phase = crate::model::Phase::Runs;
    key(&mut model, Key::Enter);
    assert!(model.question.is_none());
    keys(&mut model, "x");
    assert_eq!(keys(&mut model, "y"), [Effect::StopLoad]);
}

#[test]
fn leaving_is_at_once_unless_it_matters() {
    let mut model = data::up();
    model.load.phase = crate::model::Phase::None;
    assert_eq!(keys(&mut model, "q"), [Effect::Quit]);
    assert_eq!(key(&mut model, Key::Interrupt), [Effect::Quit]);
    model.is_login = true;
    assert_eq!(keys(&mut model, "q"), []);
    assert_eq!(keys(&mut model, "y"), [Effect::Quit]);
    assert_eq!(key(&mut model, Key::Redraw), [Effect::Redraw]);
}

#[test]
fn help_is_closed_by_any_key() {
    let mut model = data::up();
    keys(&mut model, "?");
    assert!(model.help);
    keys(&mut model, "3");
    assert!(!model.help);
    assert_eq!(model.screen, Screen::Cores);
}

#[test]
fn what_is_not_shown_is_not_asked_for() {
    let mut model = data::up();
    keys(&mut model, "2");
    assert_eq!(model.wants(), crate::feed::Wants::default());
    keys(&mut model, "7");
    assert_eq!(model.wants().users.as_deref(), Some(""));
    keys(&mut model, "5");
    assert!(model.wants().flows);
}

#[test]
fn a_machine_is_set_up_and_the_set_up_can_be_left() {
    let mut model = data::up();
    keys(&mut model, "S");
    assert!(
        key(&mut model, Key::Right)
            .iter()
            .any(|e| matches!(e, Effect::KeepDraft(_)))
    );
    // The second port becomes the carrier's; the first one is free again.
    key(&mut model, Key::Down);
    let effects = keys(&mut model, "c");
    let Some(Effect::Plan(wishes)) = effects.first() else {
        panic!("{effects:?}")
    };
    assert_eq!(wishes.carrier, "0000:41:00.1");
    assert_eq!(
        keys(&mut model, "b"),
        [Effect::Blink("enp65s0f1".to_owned())]
    );
    key(&mut model, Key::Down);
    assert_eq!(keys(&mut model, "b"), []);
    assert!(model.said.as_ref().is_some_and(|(said, _)| said.is_err()));
    key(&mut model, Key::Right);
    // What is typed is text, not commands.
    keys(&mut model, "192.0.2.10/24");
    key(&mut model, Key::Enter);
    keys(&mut model, "192.0.3.1");
    assert!(
        model
            .setup
            .mistakes
            .iter()
            .any(|m| m.contains("not on the network")),
        "{:?}",
        model.setup.mistakes
    );
    key(&mut model, Key::Backspace);
    key(&mut model, Key::Backspace);
    key(&mut model, Key::Backspace);
    keys(&mut model, "2.1");
    for _ in 0..2 {
        key(&mut model, Key::Down);
    }
    keys(&mut model, "10.20.0.10/24");
    key(&mut model, Key::Right);
    keys(&mut model, "edge-q1");
    key(&mut model, Key::Down);
    keys(&mut model, "70000");
    let effects = key(&mut model, Key::Right);
    let Some(Effect::KeepDraft(draft)) = effects.first() else {
        panic!("{effects:?}")
    };
    // The daemons' own check finds what the fields do not.
    assert_eq!(model.setup.mistakes.len(), 1, "{:?}", model.setup.mistakes);
    assert!(
        model.setup.mistakes[0].contains("`node.id`"),
        "{:?}",
        model.setup.mistakes
    );
    keys(&mut model, "w");
    assert!(model.question.is_none());

    // Another console takes it up where it was left.
    let mut other = data::up();
    let mut machine = data::machine();
    machine.draft = Some(draft.clone());
    other.setup = crate::model::Setup::default();
    data::feed(
        &mut other,
        NOW,
        crate::feed::Feed::Machine(Ok(Box::new(machine))),
    );
    keys(&mut other, "S");
    assert_eq!(other.setup.step, crate::model::Step::Summary);
    key(&mut other, Key::Left);
    key(&mut other, Key::Down);
    key(&mut other, Key::Backspace);
    key(&mut other, Key::Right);
    assert_eq!(other.setup.mistakes, Vec::<String>::new());
    keys(&mut other, "w");
    let effects = keys(&mut other, "y");
    let [Effect::Apply(files)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(
        (files.name.as_str(), files.wishes.carrier.as_str()),
        ("edge-q1", "0000:41:00.1")
    );
    let config = tandem_config::parse(&files.configuration).unwrap();
    assert_eq!((config.node.id, config.realms.len()), (7_000, 2));
    assert!(
        files
            .management
            .contains("addresses = [\"192.0.2.10/24\"]\ngateways = [\"192.0.2.1\"]"),
        "{}",
        files.management
    );
}

#[test]
fn who_has_not_logged_in_can_only_look_once_somebody_has() {
    let mut model = data::up();
    model.is_login = true;
    for text in ["6d", "6e", "4x", "4c"] {
        assert_eq!(keys(&mut model, text), []);
        assert!(model.question.is_none() && model.writing.is_none());
    }
    keys(&mut model, "4");
    assert_eq!(key(&mut model, Key::Enter), []);
    assert_eq!(model.screen, Screen::Calls);
    // Until then the password stands on the screen.
    model.credentials = Some("password".to_owned());
    keys(&mut model, "6d");
    assert!(model.question.is_some());
}

#[test]
fn what_management_toml_would_refuse_is_told_while_it_is_typed() {
    use crate::model::{Field, Step};
    let mut model = data::up();
    model.screen = Screen::Setup;
    data::feed(
        &mut model,
        NOW,
        crate::feed::Feed::Machine(Ok(Box::new(data::machine()))),
    );
    model.setup.step = Step::Addresses;
    let shows =
        |model: &Model, words: &str| super::text(model, (80, 24), super::rich()).contains(words);
    let network = "Carrier: our address: 192.0.2.0/24 is the network itself";
    keys(&mut model, "192.0.2.0/24");
    assert!(shows(&model, network), "{:?}", model.setup.mistakes);
    for _ in 0..4 {
        key(&mut model, Key::Backspace);
    }
    keys(&mut model, "9/24");
    assert!(!shows(&model, "the network itself"));
    // A router that is the machine itself; a router where addresses come by DHCP.
    key(&mut model, Key::Down);
    keys(&mut model, "192.0.2.9");
    assert!(
        shows(&model, "Carrier: gateway: 192.0.2.9 is this machine itself"),
        "{:?}",
        model.setup.mistakes
    );
    for _ in 0..6 {
        key(&mut model, Key::Down);
    }
    keys(&mut model, "198.51.100.1");
    assert!(
        shows(&model, "Management: gateway: gateways come by DHCP"),
        "{:?}",
        model.setup.mistakes
    );
    // What is wrong already is told once.
    model
        .setup
        .fields
        .insert(Field::ManagementAddress, "198.51.100.7/99".to_owned());
    key(&mut model, Key::Backspace);
    let of = |name: &str| {
        let mistakes = model.setup.mistakes.iter();
        mistakes.filter(|m| m.starts_with(name)).count()
    };
    assert_eq!(
        of("Management: our address"),
        1,
        "{:?}",
        model.setup.mistakes
    );
}

#[test]
fn who_may_not_write_is_told_before_he_types() {
    let mut model = data::up();
    let mut machine = data::machine();
    machine.locked = Some("this console may not write the set-up: start it with `sudo`".to_owned());
    data::feed(
        &mut model,
        NOW,
        crate::feed::Feed::Machine(Ok(Box::new(machine))),
    );
    keys(&mut model, "S");
    assert!(super::text(&model, (80, 24), super::rich()).contains("start it with `sudo`"));
    model.setup.step = crate::model::Step::Summary;
    keys(&mut model, "w");
    assert!(model.question.is_none());
    assert!(model.setup.mistakes[0].contains("`sudo`"));
}

#[test]
fn a_set_up_that_is_taken_up_again_is_planned_with_what_was_chosen() {
    let mut model = data::up();
    model.setup = crate::model::Setup::default();
    let mut machine = data::machine();
    machine.draft = Some(
        r#"{"step":"Ports","roles":{"0000:41:00.1":"Carrier","0000:41:00.2":"Pair"},"fields":{}}"#
            .to_owned(),
    );
    let feed = crate::feed::Feed::Machine(Ok(Box::new(machine)));
    let effects = model.update(NOW, Event::Feed(Box::new(feed)));
    let [Effect::Plan(wishes)] = effects.as_slice() else {
        panic!("{effects:?}")
    };
    assert_eq!(wishes.carrier, "0000:41:00.1");
    assert_eq!(wishes.spare, ["0000:41:00.2"]);
}

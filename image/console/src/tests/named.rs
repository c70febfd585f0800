//! Every key that a screen or its help names does what it says. One that is named and has no case here fails.

use super::data;
use super::driving::{key, keys};
use crate::feed::{Effect, Feed, Level};
use crate::key::Key;
use crate::model::{EVERYWHERE, Event, Model, Phase, Screen, Step};

/// A world with much in it, and this screen shown.
fn world(screen: Screen) -> Model {
    let mut model = match screen {
        Screen::Ladder => data::up(),
        _ => data::full(),
    };
    data::feed(
        &mut model,
        data::NOW,
        Feed::Machine(Ok(Box::new(data::machine()))),
    );
    model.screen = screen;
    model.load.phase = Phase::None;
    model
}

fn selected(model: &Model) -> usize {
    match model.screen {
        Screen::Setup => model.setup.at,
        screen => model.list(screen).selected,
    }
}

#[test]
fn every_key_that_a_screen_names_does_what_it_says() {
    for screen in Screen::ALL {
        for (name, does) in screen.hints().iter().chain(EVERYWHERE) {
            let mut model = world(screen);
            assert!(
                press(&mut model, name),
                "{screen:?}: {name} does not {does}"
            );
        }
    }
}

/// Presses the keys of a name; whether they did what it says.
fn press(model: &mut Model, name: &str) -> bool {
    let screen = model.screen;
    match (screen, name) {
        (_, "?") => {
            keys(model, "?");
            let was_open = model.help;
            key(model, Key::Esc);
            was_open && !model.help && model.screen == screen
        }
        (Screen::Overview, "q") => keys(model, "q") == [Effect::Quit],
        (Screen::Ladder, "q") => {
            keys(model, "q") == [Effect::Unfollow] && model.screen == Screen::Calls
        }
        (_, "q") => {
            keys(model, "q");
            model.screen == Screen::Overview
        }
        (Screen::Overview, "1..9 0 L S") => Screen::tabs().iter().all(|tab| {
            keys(model, "1");
            keys(model, &tab.key().to_string());
            model.screen == *tab
        }),
        (Screen::Overview, "Tab") => {
            key(model, Key::Tab);
            model.screen == Screen::Ports
        }
        (Screen::Setup, "Tab") => {
            key(model, Key::Tab);
            model.screen == Screen::Overview
        }
        (Screen::Logs, "Up Dn") => {
            key(model, Key::Up);
            let up = selected(model);
            key(model, Key::Down);
            !model.logs.follow && selected(model) == up + 1
        }
        (_, "Up Dn") => {
            // A ladder follows the newest message until one goes somewhere.
            key(model, Key::Home);
            key(model, Key::Down);
            let down = selected(model);
            key(model, Key::Up);
            down == 1 && selected(model) == 0
        }
        (_, "/") => {
            let all = model.row_count();
            keys(model, "/nobody-has-this");
            key(model, Key::Enter);
            let few = model.row_count();
            keys(model, "q");
            all > 0 && few == 0 && model.row_count() == all && model.screen == screen
        }
        (Screen::Calls, "Enter") => {
            matches!(key(model, Key::Enter).as_slice(), [Effect::Follow(_)])
                && model.screen == Screen::Ladder
        }
        (Screen::Calls, "c") => {
            keys(model, "cabc");
            key(model, Key::Enter) == [Effect::Follow("abc".to_owned())]
        }
        (Screen::Calls, "x") => {
            keys(model, "x").is_empty()
                && matches!(keys(model, "y").as_slice(), [Effect::EndCall(_)])
        }
        (Screen::Targets, "d" | "e") => {
            let state = if name == "d" { "draining" } else { "active" };
            let asked = keys(model, name).is_empty();
            matches!(keys(model, "y").as_slice(), [Effect::SetTarget(p)] if asked && p.state == state)
        }
        (Screen::Logs, "l") => {
            let levels: Vec<Level> = (0..4)
                .map(|_| {
                    keys(model, "l");
                    model.logs.level
                })
                .collect();
            let all = [Level::Debug, Level::Info, Level::Warning, Level::Error];
            all.iter().all(|level| levels.contains(level))
        }
        (Screen::Logs, "f") => {
            key(model, Key::Home);
            let stood = !model.logs.follow;
            keys(model, "f");
            stood && model.logs.follow
        }
        (Screen::Load, "Enter") => {
            let asked = key(model, Key::Enter).is_empty() && model.question.is_some();
            matches!(keys(model, "y").as_slice(), [Effect::StartLoad { socket: false, .. }] if asked)
        }
        (Screen::Load, "k") => {
            keys(model, "k");
            let by_sockets = model.load.socket;
            keys(model, "k");
            by_sockets && !model.load.socket
        }
        (Screen::Load, "x") => {
            keys(model, "x");
            let none_runs = matches!(&model.said, Some((Err(_), _)));
            model.load.phase = Phase::Runs;
            keys(model, "x");
            none_runs && keys(model, "y") == [Effect::StopLoad]
        }
        (Screen::Setup, "Left Right") => {
            key(model, Key::Right);
            let next = model.setup.step;
            key(model, Key::Left);
            next == Step::Ports && model.setup.step == Step::Hardware
        }
        (Screen::Setup, "Enter") => {
            key(model, Key::Enter);
            model.setup.step == Step::Ports
        }
        (Screen::Ladder, "Enter") => {
            key(model, Key::Home);
            key(model, Key::Enter);
            let is_open = |model: &Model| model.trace.as_ref().is_some_and(|t| t.open.is_some());
            let opened = is_open(model);
            key(model, Key::Enter);
            opened && !is_open(model)
        }
        (Screen::Ladder, "f") => {
            key(model, Key::Home);
            keys(model, "f");
            model.trace.as_ref().is_some_and(|trace| trace.follow)
        }
        (Screen::Ladder, "r") => {
            let id = model.trace.as_ref().map(|trace| trace.call_id.clone());
            keys(model, "r") == [Effect::Follow(id.unwrap_or_default())]
        }
        _ => panic!("{screen:?}: nobody looks whether {name} does what it says"),
    }
}

#[test]
fn keys_of_the_help_work_in_every_list() {
    for screen in Screen::ALL {
        let mut model = world(screen);
        let rows = model.row_count();
        if rows > 12 {
            key(&mut model, Key::Home);
            assert_eq!(selected(&model), 0, "{screen:?}");
            key(&mut model, Key::PageDown);
            assert_eq!(selected(&model), 10, "{screen:?}");
            key(&mut model, Key::PageUp);
            assert_eq!(selected(&model), 0, "{screen:?}");
            if screen != Screen::Logs {
                key(&mut model, Key::End);
                assert_eq!(selected(&model), rows - 1, "{screen:?}");
            }
        }
        assert_eq!(key(&mut model, Key::Redraw), [Effect::Redraw]);
        assert_eq!(key(&mut model, Key::Interrupt), [Effect::Quit]);
        let mut model = world(screen);
        key(&mut model, Key::BackTab);
        key(&mut model, Key::Tab);
        let here = if screen == Screen::Ladder {
            Screen::Calls
        } else {
            screen
        };
        assert_eq!(model.screen, here);
    }
    let mut model = world(Screen::Calls);
    key(&mut model, Key::Esc);
    assert_eq!(model.screen, Screen::Overview);
}

#[test]
fn each_key_of_the_ports_gives_its_role() {
    for (name, role) in [
        ('c', "carrier"),
        ('k', "core"),
        ('h', "HA link"),
        ('m', "management"),
    ] {
        let mut model = world(Screen::Setup);
        key(&mut model, Key::Right);
        let effects = keys(&mut model, &name.to_string());
        let port = data::machine().ports[0].address.clone();
        assert_eq!(model.setup.role(&port), role);
        let [Effect::Plan(wishes), Effect::KeepDraft(_)] = effects.as_slice() else {
            panic!("{effects:?}")
        };
        let wished = match name {
            'c' => &wishes.carrier,
            'k' => &wishes.core,
            'm' => &wishes.management,
            // The planner leaves it alone.
            _ => &wishes.spare[0],
        };
        assert_eq!(*wished, port);
        keys(&mut model, "n");
        assert!(model.setup.role(&port).ends_with("(proposed)"));
    }
}

/// Another program's lines may have come over the screen meanwhile: units of the machine write to its console.
#[test]
fn what_was_done_is_drawn_anew_for_a_while() {
    let mut model = world(Screen::Setup);
    let news = crate::feed::SetupNews {
        steps: vec![("Name".to_owned(), Ok("edge-1".to_owned()))],
        done: true,
    };
    let effects = model.update(data::NOW, Event::Feed(Box::new(Feed::Setup(news))));
    assert_eq!(effects, [Effect::Redraw]);
    assert_eq!(model.update(data::NOW + 500, Event::Tick), []);
    assert_eq!(
        model.update(data::NOW + 3_500, Event::Tick),
        [Effect::Redraw]
    );
    model.screen = Screen::Overview;
    assert_eq!(model.update(data::NOW + 9_000, Event::Tick), []);
}

//! No sequence of keys and no data panics, at any size.

use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::data::{self, NOW};
use crate::feed::{Feed, Level, LogLine, TraceNews};
use crate::key::Key;
use crate::look::Look;
use crate::model::{Event, Model};
use crate::view::draw;

fn any_key() -> impl Strategy<Value = Key> {
    prop_oneof![
        3 => prop::sample::select("1234567890LS/?qdexckflrynab".chars().collect::<Vec<_>>()).prop_map(Key::Char),
        1 => any::<char>().prop_map(Key::Char),
        3 => prop::sample::select(vec![
            Key::Enter, Key::Esc, Key::Backspace, Key::Tab, Key::BackTab, Key::Up, Key::Down, Key::Left, Key::Right,
            Key::PageUp, Key::PageDown, Key::Home, Key::End, Key::Interrupt, Key::Redraw,
        ]),
    ]
}

fn any_world() -> impl Strategy<Value = Model> {
    (0..6_u8).prop_map(|n| match n {
        0 => data::up(),
        1 => data::down(),
        2 => data::empty(),
        3 => data::full(),
        4 => data::without_dataplane(),
        _ => Model::default(),
    })
}

fn any_news() -> impl Strategy<Value = Feed> {
    prop_oneof![
        any::<String>().prop_map(|text| Feed::Log(vec![LogLine {
            time_ms: u64::MAX,
            unit: text.clone(),
            level: Level::Error,
            text,
        }])),
        any::<String>().prop_map(|text| Feed::Figures(Err(text))),
        any::<String>().prop_map(|text| Feed::Trace(TraceNews::Ended(text))),
        any::<String>().prop_map(|text| Feed::Credentials(Some(text))),
        (any::<u64>(), any::<String>()).prop_map(|(number, text)| {
            let mut figures = data::up().figures.value().unwrap().clone();
            figures.taken_ms = number;
            for counter in &mut figures.counters {
                counter.value = counter.value.wrapping_mul(number);
            }
            for target in &mut figures.targets {
                target.uri.clone_from(&text);
                target.latency_last_us = Some(number);
            }
            for alarm in &mut figures.alarms {
                alarm.text.clone_from(&text);
                alarm.since_ms = number;
            }
            figures.status.uptime_s = number;
            Feed::Figures(Ok(figures))
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn no_keys_and_no_news_panic(
        mut model in any_world(),
        steps in prop::collection::vec(prop_oneof![
            4 => any_key().prop_map(|key| (Some(key), None)),
            1 => any_news().prop_map(|news| (None, Some(news))),
        ], 1..60),
        width in 0_u16..220,
        height in 0_u16..70,
        unicode in any::<bool>(),
    ) {
        let look = Look { colour: unicode, unicode };
        for (n, (key, news)) in steps.into_iter().enumerate() {
            let event = match (key, news) {
                (Some(key), _) => Event::Key(key),
                (None, Some(news)) => Event::Feed(Box::new(news)),
                (None, None) => Event::Tick,
            };
            let _ = model.update(NOW + n as u64, event);
            if n % 4 == 0 {
                let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
                draw(&model, look, &mut buffer);
                for cell in &buffer.content {
                    prop_assert!(cell.symbol().chars().all(crate::text::is_plain));
                }
            }
        }
        let mut buffer = Buffer::empty(Rect::new(0, 0, 80, 24));
        draw(&model, look, &mut buffer);
    }
}

//! The screens.

/// A screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Screen {
    #[default]
    Overview,
    Ports,
    Cores,
    Calls,
    Media,
    Targets,
    Users,
    Alarms,
    Logs,
    System,
    Load,
    Setup,
    /// One call; behind the list of calls.
    Ladder,
}

impl Screen {
    /// All of them, in the order of the tabs.
    pub(crate) const ALL: [Self; 13] = [
        Self::Overview,
        Self::Ports,
        Self::Cores,
        Self::Calls,
        Self::Media,
        Self::Targets,
        Self::Users,
        Self::Alarms,
        Self::Logs,
        Self::System,
        Self::Load,
        Self::Setup,
        Self::Ladder,
    ];

    /// Those that have a tab.
    pub(crate) fn tabs() -> &'static [Self] {
        Self::ALL.split_last().map_or(&[], |(_, tabs)| tabs)
    }

    /// Its place in [`Self::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// The key that shows it.
    pub(crate) const fn key(self) -> char {
        match self {
            Self::Overview => '1',
            Self::Ports => '2',
            Self::Cores => '3',
            Self::Calls | Self::Ladder => '4',
            Self::Media => '5',
            Self::Targets => '6',
            Self::Users => '7',
            Self::Alarms => '8',
            Self::Logs => '9',
            Self::System => '0',
            Self::Load => 'L',
            Self::Setup => 'S',
        }
    }

    /// Its name in a tab.
    pub(crate) const fn tab(self) -> &'static str {
        match self {
            Self::Overview => "Main",
            Self::Ports => "Ports",
            Self::Cores => "Cores",
            Self::Calls => "Calls",
            Self::Media => "Media",
            Self::Targets => "Pool",
            Self::Users => "Users",
            Self::Alarms => "Alarms",
            Self::Logs => "Logs",
            Self::System => "Sys",
            Self::Load => "Load",
            Self::Setup => "Setup",
            Self::Ladder => "Call",
        }
    }

    /// The screen of a key.
    pub(crate) fn of(key: char) -> Option<Self> {
        Self::tabs().iter().copied().find(|s| s.key() == key)
    }

    /// The tab so many places on.
    pub(crate) fn turn(self, by: usize) -> Self {
        let tabs = Self::tabs();
        let here = if self == Self::Ladder {
            Self::Calls.index()
        } else {
            self.index()
        };
        let at = (here + by) % tabs.len().max(1);
        tabs.get(at).copied().unwrap_or_default()
    }

    /// Whether `/` filters it.
    pub(crate) const fn has_filter(self) -> bool {
        matches!(
            self,
            Self::Calls | Self::Media | Self::Targets | Self::Users | Self::Logs | Self::Ports
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_screen_has_a_place_and_a_key() {
        for (index, screen) in Screen::ALL.into_iter().enumerate() {
            assert_eq!(screen.index(), index);
        }
        for screen in Screen::tabs() {
            assert_eq!(Screen::of(screen.key()), Some(*screen));
            assert_eq!(screen.turn(Screen::tabs().len()), *screen);
        }
        assert_eq!(Screen::Ladder.turn(1), Screen::Media);
    }
}

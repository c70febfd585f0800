//! Counters that one thread moves and any thread reads.

/// Makes `Count`, the counters' names, and `Counters`, their values, of declarations with the text that the guide and the metrics
/// show.
macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A counter's name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Count {
            $($(#[doc = $doc])+ $variant,)+
        }

        /// Their names, in their order.
        const NAMES: &[&str] = &[$($name,)+];

        /// The counters' values.
        #[derive(Debug)]
        pub(crate) struct Counters([std::sync::atomic::AtomicU64; NAMES.len()]);

        impl Default for Counters {
            fn default() -> Self {
                Self([const { std::sync::atomic::AtomicU64::new(0) }; NAMES.len()])
            }
        }

        impl Counters {
            pub(crate) fn add(&self, counter: Count) {
                if let Some(value) = self.0.get(counter as usize) {
                    value.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            }

            /// Names and values.
            pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
                let load = |value: &std::sync::atomic::AtomicU64| {
                    value.load(std::sync::atomic::Ordering::Relaxed)
                };
                NAMES.iter().copied().zip(self.0.iter().map(load))
            }
        }
    };
}

pub(crate) use counters;

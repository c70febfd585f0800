//! Which carriers a number goes out by: the longest prefix, then priority, then weight.

use std::collections::HashMap;

use super::{Number, Prefixes};
use crate::rows::{BadRow, TrunkRow};

/// The table `trunk_routing` in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrunkRoutes {
    /// By tenant; the empty name is everybody's.
    tenants: HashMap<String, Prefixes<Group>>,
    /// Those of a prefix lie together, the highest priority first.
    routes: Vec<Route>,
    /// The trunks that routes name; a route has the place of its trunk here.
    names: Vec<String>,
    /// The first row that names each of them.
    first_rows: Vec<i64>,
}

/// The routes of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group {
    begin: u32,
    end: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Route {
    trunk: u16,
    priority: i32,
    weight: u32,
}

impl TrunkRoutes {
    /// From the rows. A row that cannot be used is named, the others count.
    #[must_use]
    pub fn new(rows: &[TrunkRow]) -> (Self, Vec<BadRow>) {
        let mut known = Names::default();
        let mut bad = Vec::new();
        let mut read: Vec<(&str, Number, Route)> = Vec::with_capacity(rows.len());
        for row in rows {
            match route(row, &mut known) {
                Ok((prefix, route)) => read.push((&row.tenant, prefix, route)),
                Err(reason) => bad.push(BadRow {
                    table: "trunk_routing",
                    id: row.id,
                    reason,
                }),
            }
        }
        read.sort_by(|(tenant_a, a, x), (tenant_b, b, y)| {
            let by_priority = y.priority.cmp(&x.priority);
            tenant_a.cmp(tenant_b).then(a.cmp(b)).then(by_priority)
        });
        let mut entries: HashMap<String, Vec<(Number, Group)>> = HashMap::new();
        let mut begin = 0;
        for group in read.chunk_by(|(t, a, _), (u, b, _)| (t, a) == (u, b)) {
            let Some((tenant, prefix, _)) = group.first() else {
                continue;
            };
            let end = begin + u32::try_from(group.len()).unwrap_or(0);
            let entry = (*prefix, Group { begin, end });
            match entries.get_mut(*tenant) {
                Some(of_tenant) => of_tenant.push(entry),
                None => drop(entries.insert((*tenant).to_owned(), vec![entry])),
            }
            begin = end;
        }
        let tenants = entries
            .into_iter()
            .map(|(tenant, entries)| (tenant, Prefixes::new(entries)));
        let routes = Self {
            tenants: tenants.collect(),
            routes: read.into_iter().map(|(.., route)| route).collect(),
            names: known.names,
            first_rows: known.first_rows,
        };
        (routes, bad)
    }

    /// The trunks that routes name.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What is wrong with routes by trunks that `is_known` does not know: the first row of each is named.
    pub fn unknown<'r>(
        &'r self,
        is_known: impl Fn(&str) -> bool + 'r,
    ) -> impl Iterator<Item = BadRow> + 'r {
        let rows = self.names.iter().zip(&self.first_rows);
        rows.filter(move |(name, _)| !is_known(name)).map(|(name, id)| BadRow {
            table: "trunk_routing",
            id: *id,
            reason: format!(
                "there is no trunk {name:?}: this and every other row with it counts for nothing; write the name of a [[trunk]] of the configuration"
            ),
        })
    }

    /// The trunks that a number of this tenant goes out by, as places in [`Self::names`], in the order in which they are to be tried; each
    /// once. They are those of the longest prefix: higher priorities first; among equals chance decides by weight, and weight 0 comes
    /// last. A tenant's own routes come in the place of everybody's.
    #[must_use]
    pub fn carriers(&self, tenant: &str, number: &Number, random: u64) -> Vec<u16> {
        let own = self.longest(tenant, number);
        let Some(group) = own.or_else(|| self.longest("", number)) else {
            return Vec::new();
        };
        let place = group.begin as usize..group.end as usize;
        let routes = self.routes.get(place).unwrap_or_default();
        let mut chance = Chance(random);
        let mut order = Vec::with_capacity(routes.len());
        for equals in routes.chunk_by(|a, b| a.priority == b.priority) {
            if let [only] = equals {
                push(&mut order, only.trunk);
                continue;
            }
            let mut left = equals.to_vec();
            while !left.is_empty() {
                let drawn = chance.draw(&left);
                push(&mut order, left.remove(drawn).trunk);
            }
        }
        order
    }

    fn longest(&self, tenant: &str, number: &Number) -> Option<Group> {
        self.tenants.get(tenant)?.longest(number).copied()
    }

    /// How many routes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

/// Trunks by their names.
#[derive(Default)]
struct Names<'r> {
    places: HashMap<&'r str, u16>,
    names: Vec<String>,
    first_rows: Vec<i64>,
}

impl<'r> Names<'r> {
    fn place(&mut self, row: &'r TrunkRow) -> Option<u16> {
        if let Some(place) = self.places.get(row.trunk.as_str()) {
            return Some(*place);
        }
        let place = u16::try_from(self.names.len()).ok()?;
        self.places.insert(&row.trunk, place);
        self.names.push(row.trunk.clone());
        self.first_rows.push(row.id);
        Some(place)
    }
}

fn route<'r>(row: &'r TrunkRow, known: &mut Names<'r>) -> Result<(Number, Route), String> {
    let prefix = Number::parse(row.prefix.as_bytes()).ok_or_else(|| {
        format!(
            "prefix {:?} is no number; write up to 32 digits, or nothing for every number",
            row.prefix
        )
    })?;
    if row.trunk.is_empty() {
        return Err("trunk is empty; write the name of a [[trunk]] of the configuration".into());
    }
    let trunk = known
        .place(row)
        .ok_or("there are more than 65,536 trunks; use fewer")?;
    let route = Route {
        trunk,
        priority: row.priority,
        weight: row.weight,
    };
    Ok((prefix, route))
}

fn push(order: &mut Vec<u16>, trunk: u16) {
    if !order.contains(&trunk) {
        order.push(trunk);
    }
}

/// Numbers by chance (SplitMix64), from one that is.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The place of one, by the weights.
    fn draw(&mut self, among: &[Route]) -> usize {
        let sum: u64 = among.iter().map(|r| u64::from(r.weight)).sum();
        if sum == 0 {
            return 0;
        }
        let mut drawn = self.next() % sum;
        for (place, route) in among.iter().enumerate() {
            match drawn.checked_sub(route.weight.into()) {
                Some(left) => drawn = left,
                None => return place,
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(tenant: &str, prefix: &str, trunk: &str, priority: i32, weight: u32) -> TrunkRow {
        TrunkRow {
            id: 7,
            tenant: tenant.into(),
            prefix: prefix.into(),
            trunk: trunk.into(),
            priority,
            weight,
            description: String::new(),
        }
    }

    fn carriers(routes: &TrunkRoutes, tenant: &str, number: &str, random: u64) -> Vec<String> {
        let number = Number::parse(number.as_bytes()).unwrap();
        let places = routes.carriers(tenant, &number, random);
        let name = |place: u16| routes.names()[usize::from(place)].clone();
        places.into_iter().map(name).collect()
    }

    #[test]
    fn prefix_then_priority_then_weight() {
        let (routes, bad) = TrunkRoutes::new(&[
            row("", "", "c", 0, 1),
            row("", "49", "a", 5, 1),
            row("", "+49", "b", 10, 1),
            row("", "49", "a", 20, 1),
            row("", "4930", "c", 0, 0),
            row("", "4930", "b", 0, 1),
            row("acme", "49", "c", 0, 1),
        ]);
        assert_eq!((routes.len(), bad.len()), (7, 0));
        for random in 0..100 {
            let of = |tenant: &str, number: &str| carriers(&routes, tenant, number, random);
            assert_eq!(of("", "1"), ["c"]);
            assert_eq!(of("", "+4989"), ["a", "b"], "each once, the highest first");
            assert_eq!(of("", "49301"), ["b", "c"], "weight 0 is the last");
            assert_eq!(of("acme", "49301"), ["c"], "its own, though shorter");
            assert_eq!(of("acme", "33"), ["c"], "everybody's");
            assert_eq!(of("unknown", "4989"), ["a", "b"]);
        }
        assert!(carriers(&TrunkRoutes::default(), "", "1", 0).is_empty());
    }

    #[test]
    fn weights_share_the_calls() {
        let rows = [
            row("", "", "a", 0, 60),
            row("", "", "b", 0, 30),
            row("", "", "c", 0, 10),
        ];
        let (routes, _) = TrunkRoutes::new(&rows);
        let mut first = [0_u32; 3];
        for random in 0..10_000 {
            let order = carriers(&routes, "", "1", random);
            first[usize::from(order[0].as_bytes()[0] - b'a')] += 1;
            let mut all = order.clone();
            all.sort_unstable();
            assert_eq!(all, ["a", "b", "c"]);
        }
        for (seen, expected) in first.into_iter().zip([6_000, 3_000, 1_000]) {
            assert!(seen.abs_diff(expected) < 200, "{first:?}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let rows = [
            row("", "49", "nobody", 0, 1),
            row("", "4x", "a", 0, 1),
            row("", "3", "", 0, 1),
            row("", "1", "a", 0, 1),
        ];
        let (routes, bad) = TrunkRoutes::new(&rows);
        assert_eq!(carriers(&routes, "", "1", 0), ["a"]);
        let said: Vec<_> = bad.iter().map(ToString::to_string).collect();
        assert!(said[0].contains("\"4x\" is no number"), "{said:?}");
        assert!(said[1].contains("trunk is empty"), "{said:?}");
        let unknown: Vec<_> = routes.unknown(|name| name == "a").collect();
        assert_eq!((unknown.len(), unknown[0].id), (1, 7));
        assert!(
            unknown[0].reason.contains("no trunk \"nobody\""),
            "{unknown:?}"
        );
    }
}

//! Where an address is, by a database in MaxMind's format (GeoIP2, GeoLite2 and others: country, city or both).

use std::net::IpAddr;

use maxminddb::{Reader, path};

/// The mean radius of the Earth in kilometres.
const EARTH_KM: f64 = 6_371.0;

/// A country's code by ISO 3166-1 alpha-2, in capitals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// Reads two letters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Some(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Country {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0
            .iter()
            .try_for_each(|c| write!(f, "{}", char::from(*c)))
    }
}

impl std::fmt::Debug for Country {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// A place on Earth, in millionths of a degree: north and east count up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    latitude: i32,
    longitude: i32,
}

impl Place {
    /// From degrees; none beyond -90 to 90 and -180 to 180.
    #[must_use]
    pub fn new(latitude: f64, longitude: f64) -> Option<Self> {
        let is_there = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
        let micro = |degrees: f64| (degrees * 1e6).round() as i32;
        is_there.then(|| Self {
            latitude: micro(latitude),
            longitude: micro(longitude),
        })
    }

    /// How far it is to another one, along a great circle (haversine formula), in kilometres.
    #[must_use]
    pub fn distance_km(self, other: Self) -> f64 {
        let radians = |micro: i32| (f64::from(micro) / 1e6).to_radians();
        let (a, b) = (radians(self.latitude), radians(other.latitude));
        let across = radians(other.longitude) - radians(self.longitude);
        let half = |angle: f64| (angle / 2.0).sin().powi(2);
        let h = half(b - a) + a.cos() * b.cos() * half(across);
        2.0 * EARTH_KM * h.sqrt().min(1.0).asin()
    }
}

/// The database, in memory.
pub struct GeoIp(Reader<Vec<u8>>);

impl GeoIp {
    /// From the bytes of a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(bytes: Vec<u8>) -> Result<Self, String> {
        let reader = Reader::from_source(bytes).map_err(|e| e.to_string())?;
        // Whole, or not at all: what is looked up later cannot be answered with an error.
        reader.verify().map_err(|e| e.to_string())?;
        Ok(Self(reader))
    }

    /// The country that an address is in, else the one that it is registered in; none when the database does not say.
    #[must_use]
    pub fn country(&self, ip: IpAddr) -> Option<Country> {
        let found = self.0.lookup(ip.to_canonical()).ok()?;
        let code = |key: &'static str| {
            let code: Option<&str> = found.decode_path(&path![key, "iso_code"]).ok()?;
            Country::parse(code?)
        };
        code("country").or_else(|| code("registered_country"))
    }

    /// The place where an address is; none when the database does not say.
    #[must_use]
    pub fn place(&self, ip: IpAddr) -> Option<Place> {
        let found = self.0.lookup(ip.to_canonical()).ok()?;
        let degrees =
            |key: &'static str| -> Option<f64> { found.decode_path(&path!["location", key]).ok()? };
        Place::new(degrees("latitude")?, degrees("longitude")?)
    }

    /// What the database says it is, and when it was made (Unix seconds).
    #[must_use]
    pub fn kind(&self) -> (&str, u64) {
        let metadata = self.0.metadata();
        (&metadata.database_type, metadata.build_epoch)
    }
}

impl std::fmt::Debug for GeoIp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("GeoIp").field(&self.kind()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn distances_are_those_of_the_globe() {
        let place = |a, b| Place::new(a, b).unwrap();
        let (berlin, sydney) = (place(52.52, 13.405), place(-33.8688, 151.2093));
        // As every table of great-circle distances has it, within half a per cent.
        let km = berlin.distance_km(sydney);
        assert!((16_010.0..16_180.0).contains(&km), "{km}");
        assert!(berlin.distance_km(berlin) < 0.001);
        let across = place(0.0, 179.9).distance_km(place(0.0, -179.9));
        assert!((22.0..22.5).contains(&across), "{across}");
        assert_eq!(Place::new(91.0, 0.0), None);
        assert_eq!(Place::new(f64::NAN, 0.0), None);
    }

    #[test]
    fn countries_are_two_letters() {
        assert_eq!(Country::parse("de").unwrap().to_string(), "DE");
        assert!(Country::parse("D1").is_none() && Country::parse("DEU").is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_database_or_not(bytes: Vec<u8>) {
            let mut marked = bytes.clone();
            marked.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
            marked.extend_from_slice(&bytes);
            for bytes in [bytes, marked] {
                if let Ok(geo) = GeoIp::new(bytes) {
                    let _ = (geo.country([1, 2, 3, 4].into()), geo.place([1, 2, 3, 4].into()));
                }
            }
        }
    }
}

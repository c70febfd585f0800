//! What a target's row says in `attrs`, as Kamailio's dispatcher reads it: `weight=50;maxload=200`.

/// A target's attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `weight`, for the algorithm of that name: 0 to 100.
    pub weight: Option<u32>,
    /// `rweight`, for the algorithm `relative-weight`: 1 to 100.
    pub relative_weight: Option<u32>,
    /// `maxload`: the most calls that it gets at a time; 0 and none are no limit.
    pub max_load: u64,
    /// `duid`: a name for people and programs.
    pub duid: String,
}

impl Attributes {
    /// Reads them. What is not known here is left alone; what cannot be understood is left out, and named.
    pub(crate) fn parse(text: &str) -> (Self, Vec<String>) {
        let (mut attributes, mut wrong) = (Self::default(), Vec::new());
        for part in text.split(';').map(str::trim) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.trim(), value.trim());
            let mut number = |most: u64| {
                let number = value.parse().ok().filter(|n| *n <= most);
                if number.is_none() {
                    wrong.push(format!(
                        "attrs: {name}={value} counts for nothing: write a number from 0 to {most}"
                    ));
                }
                number
            };
            let small = |n: u64| u32::try_from(n).ok();
            match name {
                "weight" => attributes.weight = number(100).and_then(small),
                "rweight" => attributes.relative_weight = number(100).and_then(small),
                "maxload" => attributes.max_load = number(u32::MAX.into()).unwrap_or(0),
                "duid" => value.clone_into(&mut attributes.duid),
                _ => {}
            }
        }
        (attributes, wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kamailios_attributes_are_read() {
        let (attributes, wrong) = Attributes::parse(
            "duid=fs1; weight=50;socket=udp:10.0.0.1:5060;rweight=7 ;maxload=200;",
        );
        assert_eq!(wrong, [""; 0]);
        let expected = Attributes {
            weight: Some(50),
            relative_weight: Some(7),
            max_load: 200,
            duid: "fs1".into(),
        };
        assert_eq!(attributes, expected);
        assert_eq!(Attributes::parse(""), Default::default());
    }

    #[test]
    fn what_cannot_be_understood_is_named() {
        let (attributes, wrong) = Attributes::parse("weight=101;rweight=x;maxload=-1");
        assert_eq!((attributes, wrong.len()), (Attributes::default(), 3));
    }
}

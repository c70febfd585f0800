//! Edges between the workspace's packages.

use serde::Deserialize;

use crate::house::{self, IMPURE, Kind};

/// What we read of `cargo metadata`.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    /// The workspace's own packages.
    pub(crate) packages: Vec<Package>,
}

/// A package of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// The path of its Cargo.toml.
    pub(crate) manifest_path: std::path::PathBuf,
    /// What it depends on, of every kind.
    pub(crate) dependencies: Vec<Dependency>,
}

/// A dependency as written in Cargo.toml.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The package's name.
    pub(crate) name: String,
    /// None for ordinary ones, or `dev` or `build`.
    pub(crate) kind: Option<String>,
    /// Its folder, when it is in this repository.
    pub(crate) path: Option<std::path::PathBuf>,
}

/// Every edge that the house does not allow.
pub(crate) fn check(workspace: &Workspace) -> Vec<String> {
    workspace.packages.iter().flat_map(package).collect()
}

fn package(package: &Package) -> Vec<String> {
    let name = &package.name;
    let Some(room) = house::find(name) else {
        return vec![format!(
            "{name} is not in the house: give it a room in the table, or remove it"
        )];
    };
    let mut faults = Vec::new();
    for dependency in &package.dependencies {
        let other = dependency.name.as_str();
        if dependency.path.is_some() {
            let allowed = match (room.kind, house::find(other).map(|r| r.kind)) {
                // A benchmark may use the laboratory of the tests.
                (Kind::Test, Some(Kind::Test)) => room.may_use.contains(&other),
                (_, None | Some(Kind::Test | Kind::Counting)) => false,
                (Kind::Test | Kind::Counting, Some(_)) => {
                    !matches!(other, "tandem-dataplane" | "tandem-sigplane")
                }
                _ => room.may_use.contains(&other),
            };
            if !allowed {
                faults.push(format!("{name} may not depend on {other}"));
            }
        }
        let ships = dependency.kind.as_deref() != Some("dev");
        if room.kind == Kind::Pure && ships && IMPURE.contains(&other) {
            faults.push(format!("{name} is pure and may not depend on {other}"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(name: &str, dependency: &str) -> Vec<String> {
        let text = format!(
            r#"{{"packages":[{{"name":"{name}","manifest_path":"/x/Cargo.toml",
               "dependencies":[{dependency}]}}]}}"#
        );
        check(&serde_json::from_str(&text).unwrap())
    }

    fn local(name: &str) -> String {
        format!(r#"{{"name":"{name}","kind":null,"path":"/x/{name}"}}"#)
    }

    #[test]
    fn an_allowed_edge_passes() {
        assert!(faults("tandem-relay", &local("tandem-wire")).is_empty());
        assert!(faults("tandem-e2e", &local("tandem-config")).is_empty());
        let serde = r#"{"name":"serde","kind":null}"#;
        assert!(faults("tandem-relay", serde).is_empty());
    }

    #[test]
    fn a_forbidden_edge_fails() {
        for (from, to) in [
            ("tandem-wire", "tandem-relay"),
            ("tandem-call", "tandem-relay"),
            ("tandem-sigplane", "tandem-dpdk"),
            ("tandem-net", "tandem-dataplane"),
            ("tandemctl", "tandem-call"),
            ("tandem-call", "tandem-e2e"),
            ("tandem-e2e", "tandem-sigplane"),
        ] {
            assert_eq!(
                faults(from, &local(to)),
                [format!("{from} may not depend on {to}")]
            );
        }
    }

    #[test]
    fn a_pure_room_has_no_way_to_the_system_but_its_tests_may() {
        let ships = r#"{"name":"tokio","kind":null}"#;
        assert_eq!(
            faults("tandem-call", ships),
            ["tandem-call is pure and may not depend on tokio"]
        );
        assert!(faults("tandem-call", r#"{"name":"tokio","kind":"dev"}"#).is_empty());
        assert!(faults("tandem-store", ships).is_empty());
    }

    #[test]
    fn a_room_that_is_not_in_the_house_fails() {
        assert!(faults("tandem-attic", "")[0].contains("not in the house"));
    }
}

//! The description of the API, OpenAPI 3.1. It is made from the types, in a test: the binary only carries its text
//! (docs/reference/openapi.json), which nothing reads until it is asked for.

#[cfg(test)]
mod paths;

/// The description.
pub const DESCRIPTION: &str = include_str!("../../../../../docs/reference/openapi.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Set to write the file anew: `make reference` does that.
    const WRITE: &str = "CLEARWAY_WRITE_OPENAPI";

    #[test]
    fn the_description_is_made_from_the_types() {
        let made = paths::description();
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/openapi.json");
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(file, &made).unwrap();
        }
        let written = std::fs::read_to_string(file).unwrap();
        assert!(
            written == made,
            "docs/reference/openapi.json is stale: run `make reference`; it would be\n{made}"
        );
    }

    #[test]
    fn every_path_is_described_and_no_other() {
        let routes = include_str!("routes.rs").split(".route(\"").skip(1);
        let served: BTreeSet<(String, String)> = routes
            .map(|rest| {
                let (path, rest) = rest.split_once("\", ").unwrap();
                (path.to_owned(), rest.split('(').next().unwrap().to_owned())
            })
            .collect();
        let described: serde_json::Value = serde_json::from_str(&paths::description()).unwrap();
        let described = described["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| (path.clone(), method.clone()))
        });
        assert_eq!(served, described.collect::<BTreeSet<_>>());
        assert!(served.len() >= 12);
    }
}

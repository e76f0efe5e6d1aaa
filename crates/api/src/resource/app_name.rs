//! Names for apps that came without one: `gentle-harbor-48213`.

use rand::RngExt;
use ropewalk_model::AppName;

use crate::transport::error::{ApiError, ApiResult};

const ADJECTIVES: [&str; 64] = [
    "ancient",
    "autumn",
    "blooming",
    "bold",
    "brave",
    "breezy",
    "bright",
    "calm",
    "clear",
    "cosmic",
    "crisp",
    "curious",
    "dappled",
    "daring",
    "dawning",
    "eager",
    "early",
    "fabled",
    "fearless",
    "fleet",
    "floating",
    "frosty",
    "gentle",
    "glowing",
    "golden",
    "hardy",
    "hidden",
    "humble",
    "icy",
    "jolly",
    "keen",
    "kindly",
    "lively",
    "lofty",
    "lucid",
    "mellow",
    "mighty",
    "misty",
    "mossy",
    "nimble",
    "noble",
    "patient",
    "placid",
    "polished",
    "proud",
    "quiet",
    "radiant",
    "rapid",
    "restless",
    "rustic",
    "salty",
    "serene",
    "silent",
    "silver",
    "steady",
    "sturdy",
    "sunny",
    "swift",
    "tidal",
    "tranquil",
    "twilight",
    "vivid",
    "wandering",
    "windy",
];
const NOUNS: [&str; 64] = [
    "anchor",
    "atoll",
    "bay",
    "beacon",
    "birch",
    "brook",
    "cabin",
    "canyon",
    "cedar",
    "cliff",
    "cloud",
    "coast",
    "cove",
    "creek",
    "delta",
    "dune",
    "fern",
    "field",
    "fjord",
    "forest",
    "garden",
    "glacier",
    "glade",
    "grove",
    "gulf",
    "harbor",
    "haven",
    "heron",
    "hill",
    "inlet",
    "island",
    "jetty",
    "lagoon",
    "lake",
    "lantern",
    "lighthouse",
    "marsh",
    "mast",
    "meadow",
    "mesa",
    "moor",
    "oak",
    "oasis",
    "ocean",
    "orchard",
    "otter",
    "peak",
    "pine",
    "plain",
    "pond",
    "prairie",
    "quay",
    "rain",
    "reef",
    "ridge",
    "river",
    "sail",
    "shore",
    "spring",
    "summit",
    "tide",
    "valley",
    "wave",
    "willow",
];

/// Adjective, noun, five digits.
pub(crate) fn make_up() -> ApiResult<AppName> {
    let mut random = rand::rng();
    let adjective = ADJECTIVES[random.random_range(0..ADJECTIVES.len())];
    let noun = NOUNS[random.random_range(0..NOUNS.len())];
    let number: u32 = random.random_range(10_000..100_000);
    AppName::parse(&format!("{adjective}-{noun}-{number}"))
        .map_err(|error| ApiError::internal(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_a_valid_name() {
        for adjective in ADJECTIVES {
            for noun in NOUNS {
                assert!(AppName::parse(&format!("{adjective}-{noun}-12345")).is_ok());
            }
        }
        assert!(make_up().is_ok());
    }
}

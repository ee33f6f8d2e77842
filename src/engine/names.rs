//! Inventing a name: an adjective and the surname of somebody who built things that float, fly,
//! compute or heal.

const ADJECTIVES: [&str; 48] = [
    "able", "agile", "amber", "ample", "brave", "brisk", "bright", "calm", "candid", "clever",
    "cosy", "crisp", "daring", "eager", "early", "fair", "fleet", "fond", "frank", "gentle",
    "glad", "golden", "grand", "happy", "hardy", "honest", "humble", "jolly", "keen", "kind",
    "lively", "lucid", "mellow", "merry", "mild", "modest", "nimble", "noble", "patient", "plucky",
    "quick", "quiet", "ready", "sober", "steady", "sunny", "tidy", "witty",
];

const SURNAMES: [&str; 48] = [
    "archimedes",
    "ball",
    "bell",
    "blackwell",
    "bohr",
    "brahmagupta",
    "brunel",
    "carson",
    "cerf",
    "curie",
    "darwin",
    "davinci",
    "diesel",
    "easley",
    "edison",
    "einstein",
    "engelbart",
    "euclid",
    "euler",
    "fermi",
    "franklin",
    "galileo",
    "goodall",
    "hamilton",
    "hopper",
    "hypatia",
    "johnson",
    "kepler",
    "knuth",
    "lamarr",
    "liskov",
    "lovelace",
    "maxwell",
    "mccarthy",
    "meitner",
    "newton",
    "noether",
    "pasteur",
    "pike",
    "ritchie",
    "shannon",
    "tesla",
    "thompson",
    "torvalds",
    "turing",
    "wing",
    "wright",
    "yalow",
];

/// The `attempt`th name for these random bytes; from the second on with a digit.
pub fn invent(random: [u8; 2], attempt: u32) -> String {
    let pick = |list: &[&'static str], byte: u8| list[usize::from(byte) % list.len()];
    let [a, b] = random;
    let name = format!("{}_{}", pick(&ADJECTIVES, a), pick(&SURNAMES, b));
    match attempt {
        0 => name,
        n => format!("{name}{n}"),
    }
}

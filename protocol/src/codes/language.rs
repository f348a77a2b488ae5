//! `LanguageCode`: which client library speaks. The JSON header has its name, the binary header its
//! number.

/// Java; also what a server says of itself, the safest value for every client.
pub const JAVA: u8 = 0;
/// C++.
pub const CPP: u8 = 1;
/// .NET.
pub const DOTNET: u8 = 2;
/// Python.
pub const PYTHON: u8 = 3;
/// Anything without a number of its own; what an unknown name reads as.
pub const OTHER: u8 = 7;
/// Go.
pub const GO: u8 = 9;
/// PHP.
pub const PHP: u8 = 10;
/// Rust.
pub const RUST: u8 = 12;
/// Node.js.
pub const NODE_JS: u8 = 13;

const NAMES: [&str; 14] = [
    "JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER", "HTTP", "GO", "PHP",
    "OMS", "RUST", "NODE_JS",
];

/// The name in a JSON header.
#[must_use]
pub fn name(code: u8) -> &'static str {
    NAMES.get(usize::from(code)).copied().unwrap_or("OTHER")
}

/// The number of a name; unknown names are [`OTHER`], as Java tolerates them.
#[must_use]
pub fn from_name(name: &str) -> u8 {
    (0u8..).zip(NAMES).find(|(_, known)| *known == name).map_or(OTHER, |(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        for code in 0..14 {
            assert_eq!(from_name(name(code)), code);
        }
        assert_eq!(from_name("COBOL"), OTHER);
        assert_eq!(name(200), "OTHER");
    }
}

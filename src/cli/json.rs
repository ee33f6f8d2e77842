//! JSON as Go's encoding/json writes it: `<`, `>`, `&` and two odd line ends are escaped.

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use std::io::{self, Write};

/// Indented by four blanks, as `docker inspect` prints.
pub fn pretty(value: &impl Serialize) -> String {
    let formatter = GoFormatter(PrettyFormatter::with_indent(b"    "));
    let mut bytes = Vec::new();
    // Neither writing to memory nor any of our values fails.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter));
    String::from_utf8(bytes).unwrap_or_default()
}

struct GoFormatter<F>(F);

/// Hands each method to the formatter inside.
macro_rules! delegate {
    ($($name:ident($($arg:ident: $type:ty),*);)*) => {$(
        fn $name<W: ?Sized + Write>(&mut self, writer: &mut W $(, $arg: $type)*) -> io::Result<()> {
            self.0.$name(writer $(, $arg)*)
        }
    )*};
}

impl<F: Formatter> Formatter for GoFormatter<F> {
    delegate! {
        begin_array(); end_array(); begin_array_value(first: bool); end_array_value();
        begin_object(); end_object(); begin_object_key(first: bool); begin_object_value();
        end_object_value();
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        text: &str,
    ) -> io::Result<()> {
        let mut rest = text;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (plain, special) = rest.split_at(at);
            let mut chars = special.chars();
            let code = chars.next().map_or(0, u32::from);
            write!(writer, "{plain}\\u{code:04x}")?;
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_as_by_go() {
        assert_eq!(pretty(&"a<b>&\"\u{2028}ä\n"), r#""a\u003cb\u003e\u0026\"\u2028ä\n""#);
    }

    #[test]
    fn lists_and_maps_are_laid_out_as_by_docker() {
        let value = serde_json::json!([{"A": {}, "B": [], "C": [1, null]}]);
        let expected = "[\n    {\n        \"A\": {},\n        \"B\": [],\n        \"C\": [\n            \
                        1,\n            null\n        ]\n    }\n]";
        assert_eq!(pretty(&value), expected);
    }
}

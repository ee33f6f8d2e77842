//! Writing JSON (RFC 8259): strings, and objects of one line. Pure.

use std::fmt::Display;

/// An object that grows by its members.
pub struct Object(Vec<u8>);

impl Object {
    pub fn new() -> Object {
        Object(b"{".to_vec())
    }

    pub fn text(&mut self, key: &str, value: &str) -> &mut Object {
        self.key(key);
        self.string(value);
        self
    }

    /// A number, `true`, `false`, or whatever else is written as it is.
    pub fn plain(&mut self, key: &str, value: impl Display) -> &mut Object {
        self.key(key);
        self.0.extend_from_slice(value.to_string().as_bytes());
        self
    }

    /// As `plain`; `null` if there is none.
    pub fn maybe(&mut self, key: &str, value: Option<impl Display>) -> &mut Object {
        match value {
            Some(value) => self.plain(key, value),
            None => self.plain(key, "null"),
        }
    }

    pub fn texts(&mut self, key: &str, values: &[String]) -> &mut Object {
        self.key(key);
        self.0.push(b'[');
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                self.0.push(b',');
            }
            self.string(value);
        }
        self.0.push(b']');
        self
    }

    pub fn end(&mut self) -> String {
        self.0.push(b'}');
        String::from_utf8(std::mem::take(&mut self.0)).unwrap_or_default()
    }

    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.string(key);
        self.0.push(b':');
    }

    fn string(&mut self, text: &str) {
        self.0.push(b'"');
        escape(text.as_bytes(), |part| self.0.extend_from_slice(part));
        self.0.push(b'"');
    }
}

/// As the inside of a JSON string (RFC 8259): what is not UTF-8 becomes U+FFFD.
pub fn escape(text: &[u8], mut out: impl FnMut(&[u8])) {
    for chunk in text.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = rest.bytes().position(needs_escape) {
            let (plain, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
            out(plain.as_bytes());
            let mut characters = from.chars();
            match characters.next().unwrap_or_default() {
                '"' => out(b"\\\""),
                '\\' => out(b"\\\\"),
                '\n' => out(b"\\n"),
                '\r' => out(b"\\r"),
                '\t' => out(b"\\t"),
                control => {
                    out(format!("\\u{:04x}", u32::from(control)).as_bytes());
                }
            }
            rest = characters.as_str();
        }
        out(rest.as_bytes());
        if !chunk.invalid().is_empty() {
            out("\u{fffd}".as_bytes());
        }
    }
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\' || byte == 0x7f
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_one_line_whatever_is_in_it() {
        let mut object = Object::new();
        object.text("name", "a\"b\n").plain("count", 3).maybe("pid", None::<u32>);
        object.texts("needs", &["x".into(), "y".into()]).texts("none", &[]);
        let text = r#"{"name":"a\"b\n","count":3,"pid":null,"needs":["x","y"],"none":[]}"#;
        assert_eq!(object.end(), text);
        assert_eq!(Object::new().end(), "{}");
        let given: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(given["name"], "a\"b\n");
    }
}

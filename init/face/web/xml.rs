//! XML-RPC (xmlrpc.com/spec.md): calls read, answers written. Pure.

use super::fault::Fault;
use super::login;
use std::borrow::Cow;

/// Values within values are no deeper.
const DEEPEST: usize = 16;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    Int(i64),
    Flag(bool),
    Text(String),
    Array(Vec<Value>),
    Struct(Vec<(Cow<'static, str>, Value)>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_string())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

/// A structure that grows by its members.
#[derive(Default)]
pub struct Members(Vec<(Cow<'static, str>, Value)>);

impl Members {
    #[inline(never)]
    pub fn put(&mut self, name: &'static str, value: Value) -> &mut Members {
        self.0.push((Cow::Borrowed(name), value));
        self
    }

    #[inline(never)]
    pub fn text(&mut self, name: &'static str, text: &str) -> &mut Members {
        self.put(name, Value::Text(text.to_string()))
    }

    #[inline(never)]
    pub fn number(&mut self, name: &'static str, number: i64) -> &mut Members {
        self.put(name, Value::Int(number))
    }

    #[inline(never)]
    pub fn flag(&mut self, name: &'static str, flag: bool) -> &mut Members {
        self.put(name, Value::Flag(flag))
    }

    pub fn end(&mut self) -> Value {
        Value::Struct(std::mem::take(&mut self.0))
    }
}

/// The name of a method, and what it is called with; `None` where it is no call.
pub fn read_call(bytes: &[u8]) -> Option<(String, Vec<Value>)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut parser = Parser { rest: text };
    parser.open("methodCall")?;
    parser.open("methodName")?;
    let name = parser.text()?.trim().to_string();
    parser.close("methodName")?;
    let mut params = Vec::new();
    if parser.open_or_empty("params")? == Some(true) {
        while parser.next_is("param") {
            parser.open("param")?;
            params.push(parser.value(0)?);
            parser.close("param")?;
        }
        parser.close("params")?;
    }
    parser.close("methodCall")?;
    parser.blank()?;
    (parser.rest.is_empty() && !name.is_empty()).then_some((name, params))
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    /// Skips blanks, comments and declarations; a document type is refused, as nobody needs one.
    fn blank(&mut self) -> Option<()> {
        loop {
            self.rest = self.rest.trim_start();
            let end = if self.rest.starts_with("<?") {
                "?>"
            } else if self.rest.starts_with("<!--") {
                "-->"
            } else {
                return Some(());
            };
            self.rest = behind(self.rest, end)?.1;
        }
    }

    /// The tag that comes next, without its brackets and attributes.
    fn tag(&mut self) -> Option<&'a str> {
        self.blank()?;
        let (tag, rest) = self.rest.strip_prefix('<')?.split_once('>')?;
        self.rest = rest;
        let (name, end) = match tag.strip_suffix('/') {
            Some(name) => (name, "/"),
            None => (tag, ""),
        };
        let name = name.split_ascii_whitespace().next()?;
        // Empty ones keep their slash.
        tag.get(..name.len().checked_add(end.len())?).filter(|tag| tag.ends_with(end)).or(Some(tag))
    }

    fn next_is(&self, name: &str) -> bool {
        let mut ahead = Parser { rest: self.rest };
        ahead.tag().is_some_and(|tag| tag.strip_suffix('/').unwrap_or(tag).trim() == name)
    }

    fn open(&mut self, name: &str) -> Option<()> {
        (self.tag()? == name).then_some(())
    }

    /// Opens `name`: `Some(true)`; `Some(false)` if it is empty; `None` if it is not there.
    fn open_or_empty(&mut self, name: &str) -> Option<Option<bool>> {
        if !self.next_is(name) {
            return Some(None);
        }
        let tag = self.tag()?;
        Some(Some(!tag.ends_with('/')))
    }

    fn close(&mut self, name: &str) -> Option<()> {
        (self.tag()?.strip_prefix('/')? == name).then_some(())
    }

    /// The characters up to the next tag.
    fn text(&mut self) -> Option<String> {
        let mut text = String::new();
        loop {
            let (part, _) = self.rest.split_once('<')?;
            self.rest = self.rest.get(part.len()..)?;
            unescape(part, &mut text)?;
            if let Some(rest) = self.rest.strip_prefix("<![CDATA[") {
                let (part, rest) = behind(rest, "]]>")?;
                text.push_str(part);
                self.rest = rest;
            } else if let Some(rest) = self.rest.strip_prefix("<!--") {
                self.rest = behind(rest, "-->")?.1;
            } else {
                return Some(text);
            }
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        if self.open_or_empty("value")?? {
            let value = self.inside(depth)?;
            self.close("value")?;
            return Some(value);
        }
        Some(Value::Text(String::new()))
    }

    /// What is inside of a <value>: a text, or something that says its type.
    fn inside(&mut self, depth: usize) -> Option<Value> {
        let text = self.text()?;
        if self.rest.starts_with("</") {
            return Some(Value::Text(text));
        }
        let tag = self.tag()?;
        if let Some(kind) = tag.strip_suffix('/') {
            return match kind.trim() {
                "string" | "base64" => Some(Value::Text(String::new())),
                "struct" => Some(Value::Struct(Vec::new())),
                _ => None,
            };
        }
        let value = match tag {
            "array" => self.array(depth)?,
            "struct" => self.members(depth)?,
            _ => {
                let text = self.text()?;
                scalar(tag, &text)?
            }
        };
        self.close(tag)?;
        Some(value)
    }

    fn array(&mut self, depth: usize) -> Option<Value> {
        let mut values = Vec::new();
        if self.open_or_empty("data")?? {
            while self.next_is("value") {
                values.push(self.value(depth.checked_add(1)?)?);
            }
            self.close("data")?;
        }
        Some(Value::Array(values))
    }

    fn members(&mut self, depth: usize) -> Option<Value> {
        let mut members = Vec::new();
        while self.next_is("member") {
            self.open("member")?;
            self.open("name")?;
            let name = self.text()?;
            self.close("name")?;
            members.push((Cow::Owned(name), self.value(depth.checked_add(1)?)?));
            self.close("member")?;
        }
        Some(Value::Struct(members))
    }
}

/// What stands before `end`, and behind it.
fn behind<'a>(text: &'a str, end: &str) -> Option<(&'a str, &'a str)> {
    let at = text.as_bytes().windows(end.len()).position(|window| window == end.as_bytes())?;
    Some((text.get(..at)?, text.get(at.checked_add(end.len())?..)?))
}

fn scalar(kind: &str, text: &str) -> Option<Value> {
    Some(match kind {
        "int" | "i4" | "i8" => Value::Int(text.trim().parse().ok()?),
        "boolean" => Value::Flag(match text.trim() {
            "1" => true,
            "0" => false,
            _ => return None,
        }),
        // No method takes one of the last two.
        "string" | "dateTime.iso8601" | "double" => Value::Text(text.to_string()),
        "base64" => Value::Text(String::from_utf8(login::decoded(text)?).ok()?),
        _ => return None,
    })
}

fn unescape(text: &str, out: &mut String) -> Option<()> {
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('&') {
        out.push_str(plain);
        let (entity, after) = after.split_once(';')?;
        out.push(match entity {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = entity.strip_prefix('#')?;
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(code)?
            }
        });
        rest = after;
    }
    out.push_str(rest);
    Some(())
}

/// The answer to a call.
pub fn answer(result: &Result<Value, Fault>) -> String {
    let mut text = String::from("<?xml version='1.0'?>\n<methodResponse>\n");
    match result {
        Ok(value) => {
            text.push_str("<params>\n<param>\n");
            write(value, &mut text);
            text.push_str("</param>\n</params>\n");
        }
        Err(fault) => {
            text.push_str("<fault>\n");
            write(&fault.value(), &mut text);
            text.push_str("</fault>\n");
        }
    }
    text.push_str("</methodResponse>\n");
    text
}

fn write(value: &Value, out: &mut String) {
    out.push_str("<value>");
    match value {
        Value::Int(number) => {
            // Of four bytes, which clients hold it to.
            let number = (*number).clamp(i64::from(i32::MIN), i64::from(i32::MAX));
            out.push_str("<int>");
            out.push_str(&number.to_string());
            out.push_str("</int>");
        }
        Value::Flag(flag) => {
            out.push_str(if *flag { "<boolean>1</boolean>" } else { "<boolean>0</boolean>" });
        }
        Value::Text(text) => {
            out.push_str("<string>");
            escape(text, out);
            out.push_str("</string>");
        }
        Value::Array(values) => {
            out.push_str("<array><data>\n");
            values.iter().for_each(|value| write(value, out));
            out.push_str("</data></array>");
        }
        Value::Struct(members) => {
            out.push_str("<struct>\n");
            for (name, value) in members {
                out.push_str("<member>\n<name>");
                escape(name, out);
                out.push_str("</name>\n");
                write(value, out);
                out.push_str("</member>\n");
            }
            out.push_str("</struct>");
        }
    }
    out.push_str("</value>\n");
}

/// What XML cannot hold at all, as most control characters, becomes U+FFFD.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(c),
            '\0'..=' ' if c != ' ' => out.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::fuzz;

    #[test]
    fn a_call_is_a_name_and_values() {
        let text = "<?xml version='1.0'?>\n<methodCall>\n<methodName>a.b</methodName>\n<params>\n\
                    <param>\n<value><string>x &lt;&#233;&#x41;</string></value>\n</param>\n\
                    <param><value><int>-16</int></value></param>\n\
                    <param><value>plain</value></param>\n\
                    <param><value><boolean>1</boolean></value></param>\n\
                    <param><value><array><data>\n<value><i4>1</i4></value></data></array></value></param>\n\
                    <param><value><struct><member><name>n</name><value><string/></value></member></struct></value></param>\n\
                    <param><value><base64>YQ==</base64></value></param><param><value/></param>\n\
                    </params>\n</methodCall>\n";
        let (name, params) = read_call(text.as_bytes()).unwrap();
        assert_eq!(name, "a.b");
        let expected = [
            Value::from("x <\u{e9}A"),
            Value::Int(-16),
            Value::from("plain"),
            Value::Flag(true),
            Value::Array(vec![Value::Int(1)]),
            Members::default().text("n", "").end(),
            Value::from("a"),
            Value::from(""),
        ];
        assert_eq!(params, expected);
        for none in ["<params/>", "<params></params>", ""] {
            let text = format!("<methodCall><methodName>x.y</methodName>{none}</methodCall>");
            assert_eq!(read_call(text.as_bytes()), Some(("x.y".into(), Vec::new())), "{none}");
        }
    }

    #[test]
    fn what_is_no_call_is_refused() {
        let deep = format!(
            "<methodCall><methodName>x</methodName><params><param>{}</param></params></methodCall>",
            "<value><array><data>".repeat(5000)
        );
        for text in [
            "",
            "<methodCall>",
            "<methodCall><methodName></methodName></methodCall>",
            "<methodCall><methodName>x</methodName></methodCall>x",
            "<!DOCTYPE x [<!ENTITY a \"b\">]><methodCall><methodName>x</methodName></methodCall>",
            "<methodCall><methodName>x</methodName><params><param><value><int>x</int></value></param></params></methodCall>",
            "<methodCall><methodName>&no;</methodName></methodCall>",
            &deep,
        ] {
            assert_eq!(read_call(text.as_bytes()), None, "{text:.60}");
        }
        assert_eq!(read_call(b"\xff"), None);
    }

    #[test]
    fn an_answer_can_be_read_by_whoever_asked() {
        let mut members = Members::default();
        members.put("a", Value::Array(vec![Value::Int(1), Value::Flag(false)]));
        let value = members.text("b", "<&>\r\u{1}\n").number("c", i64::MAX).end();
        let text = answer(&Ok(value));
        let expected = "<?xml version='1.0'?>\n<methodResponse>\n<params>\n<param>\n<value><struct>\n\
            <member>\n<name>a</name>\n<value><array><data>\n<value><int>1</int></value>\n\
            <value><boolean>0</boolean></value>\n</data></array></value>\n</member>\n\
            <member>\n<name>b</name>\n<value><string>&lt;&amp;&gt;&#13;\u{fffd}\n</string></value>\n</member>\n\
            <member>\n<name>c</name>\n<value><int>2147483647</int></value>\n</member>\n\
            </struct></value>\n</param>\n</params>\n</methodResponse>\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn of_the_corpus_every_call_is_read_or_refused() {
        let words = [
            "<",
            ">",
            "</",
            "/>",
            "<value>",
            "</value>",
            "<int>",
            "&amp;",
            "&#",
            "<![CDATA[",
            "]]>",
            "<!--",
            "-->",
            "<?",
            "?>",
            "<array><data>",
            "<struct>",
            "<member><name>",
        ];
        fuzz("xmlrpc", &words, 5_000, |bytes| {
            let (_, params) = read_call(bytes).ok_or("no call")?;
            // What was read can be written, and holds nothing that is not text.
            let written = answer(&Ok(Value::Array(params)));
            assert!(!written.contains('\0'));
            Ok(())
        });
    }
}

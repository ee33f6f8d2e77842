//! Values as Go's fmt prints them.

use super::run::{MISSING, NIL, Val};
use serde_json::Value;

/// Fields that may point to nothing.
const POINTERS: [&str; 7] =
    [NIL, "Health", "Healthcheck", "IPAMConfig", "MemorySwappiness", "OomKillDisable", "PidsLimit"];

/// As `print` and an action do.
pub fn text_of(value: &Val) -> String {
    match &*value.json {
        Value::Null if value.name == MISSING => MISSING.to_string(),
        json => words(json, value),
    }
}

/// `value` tells what kind of nothing a null is.
fn words(json: &Value, value: &Val) -> String {
    let part = |json, name| words(json, &Val { name, ..Val::nothing(name) });
    match json {
        Value::Null if POINTERS.contains(&value.name) => NIL.to_string(),
        Value::Null if value.is_map() => "map[]".to_string(),
        Value::Null => "[]".to_string(),
        Value::String(text) => text.clone(),
        Value::Array(list) => {
            let items = list.iter().map(|item| part(item, ""));
            format!("[{}]", items.collect::<Vec<_>>().join(" "))
        }
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, item)| format!("{key}:{}", part(item, key)));
            format!("map[{}]", pairs.collect::<Vec<_>>().join(" "))
        }
        Value::Number(number) if number.is_f64() => number.as_f64().unwrap_or_default().to_string(),
        plain => plain.to_string(),
    }
}

/// Go's word for the type of what JSON has.
pub fn type_of(json: &Value) -> &'static str {
    match json {
        Value::Null => NIL,
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// Go's `strconv.Quote`.
pub fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// The flags, width and precision of a verb.
#[derive(Default)]
struct Spec {
    left: bool,
    plus: bool,
    blank: bool,
    zero: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

/// No line is wider.
const WIDTH_MAX: usize = 1 << 16;

/// Go's `Sprintf`, but for `%e`, `%p`, `%U` and arguments by number (`%[1]d`).
pub fn sprintf(format: &str, given: &[Val]) -> String {
    let mut out = String::new();
    let mut used = 0;
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let mut spec = Spec::default();
        rest = &rest[at + 1..];
        while let Some(flag) = rest.chars().next().filter(|c| "-+ 0#".contains(*c)) {
            match flag {
                '-' => spec.left = true,
                '+' => spec.plus = true,
                ' ' => spec.blank = true,
                '0' => spec.zero = true,
                _ => spec.sharp = true,
            }
            rest = &rest[1..];
        }
        spec.width = number(&mut rest, given, &mut used).unwrap_or_default();
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            spec.precision = Some(number(&mut rest, given, &mut used).unwrap_or_default());
        }
        let Some(verb) = rest.chars().next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        rest = &rest[verb.len_utf8()..];
        if verb == '%' {
            out.push('%');
            continue;
        }
        match given.get(used) {
            Some(value) => out.push_str(&formatted(&spec, verb, value)),
            None => out.push_str(&format!("%!{verb}(MISSING)")),
        }
        used += 1;
    }
    out.push_str(rest.strip_prefix('%').unwrap_or(rest));
    if let Some(extra) = given.get(used..).filter(|extra| !extra.is_empty()) {
        let each = |value: &Val| format!("{}={}", type_of(&value.json), text_of(value));
        let extra: Vec<String> = extra.iter().map(each).collect();
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

/// A width or a precision, in digits or as the next argument.
fn number(rest: &mut &str, given: &[Val], used: &mut usize) -> Option<usize> {
    if let Some(after) = rest.strip_prefix('*') {
        *rest = after;
        let number = given.get(*used).and_then(|value| value.json.as_u64());
        *used += 1;
        return number.map(|number| (number as usize).min(WIDTH_MAX));
    }
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (text, after) = rest.split_at(digits);
    *rest = after;
    (digits > 0).then(|| text.parse().unwrap_or(WIDTH_MAX).min(WIDTH_MAX))
}

fn formatted(spec: &Spec, verb: char, value: &Val) -> String {
    let json = &*value.json;
    let cut = |text: &str| match spec.precision {
        Some(most) => text.chars().take(most).collect(),
        None => text.to_string(),
    };
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text = match (verb, json) {
        ('v', Value::String(text)) if spec.sharp => quote(text),
        ('v' | 's', Value::String(text)) => cut(text),
        ('q', Value::String(text)) => quote(&cut(text)),
        ('x', Value::String(text)) => hex(text),
        ('X', Value::String(text)) => hex(text).to_uppercase(),
        ('T', json) => type_of(json).to_string(),
        ('t', Value::Bool(_)) => text_of(value),
        ('f' | 'F', Value::Number(number)) if number.is_f64() => {
            let digits = spec.precision.unwrap_or(6);
            return numeric(spec, &format!("{:.digits$}", number.as_f64().unwrap_or_default()));
        }
        ('v' | 'g', Value::Number(number)) if verb == 'v' || number.is_f64() => {
            return numeric(spec, &text_of(value));
        }
        ('c', Value::Number(number)) if number.is_u64() => {
            let code = number.as_u64().and_then(|code| u32::try_from(code).ok());
            code.and_then(char::from_u32).unwrap_or('\u{fffd}').to_string()
        }
        ('d' | 'b' | 'o' | 'x' | 'X', Value::Number(number)) if !number.is_f64() => {
            let whole = number.as_i128().unwrap_or_default();
            let size = whole.unsigned_abs();
            let (prefix, digits) = match verb {
                'b' => ("0b", format!("{size:b}")),
                'o' => ("0", format!("{size:o}")),
                'x' => ("0x", format!("{size:x}")),
                'X' => ("0X", format!("{size:X}")),
                _ => ("", size.to_string()),
            };
            let zeros = spec.precision.unwrap_or_default().saturating_sub(digits.len());
            let prefix = if spec.sharp { prefix } else { "" };
            let sign = if whole < 0 { "-" } else { "" };
            return numeric(spec, &[sign, prefix, &"0".repeat(zeros), &digits].concat());
        }
        // A list has the verb for each of its items.
        ('s' | 'q' | 'd', Value::Array(list)) => {
            let plain = Spec::default();
            let items = list.iter().map(|item| formatted(&plain, verb, &Val::of(item)));
            format!("[{}]", items.collect::<Vec<_>>().join(" "))
        }
        ('v', _) | ('s', Value::Object(_)) => text_of(value),
        (verb, Value::Null) => format!("%!{verb}({NIL})"),
        (verb, json) => format!("%!{verb}({}={})", type_of(json), text_of(value)),
    };
    padded(spec, text)
}

/// A number with its sign, and zeros before it where those are asked for.
fn numeric(spec: &Spec, text: &str) -> String {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None if spec.plus => ("+", text),
        None if spec.blank => (" ", text),
        None => ("", text),
    };
    let wanted = if spec.zero && !spec.left { spec.width } else { 0 };
    let zeros = wanted.saturating_sub(sign.len() + digits.len());
    padded(spec, [sign, &"0".repeat(zeros), digits].concat())
}

fn padded(spec: &Spec, text: String) -> String {
    let blanks = " ".repeat(spec.width.saturating_sub(text.chars().count()));
    if spec.left { text + &blanks } else { blanks + &text }
}

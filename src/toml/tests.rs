use super::*;
use crate::types::corpus::fuzz;
use ::toml::de::{DeTable, DeValue};

/// What a fuzzer puts together.
const WORDS: [&str; 23] = [
    "\n", "[", "]", "[[", "]]", "{", "}", "=", ".", ",", "\"", "'", "\"\"\"", "'''", "\\", "#",
    "$", "-1", "1e9", "\r\n", "true", "\u{e9}", "_",
];

/// What the crate `toml` reads, in our form; `None` where it refuses the text or finds a date.
fn theirs(text: &str) -> Option<Value> {
    let table = DeTable::parse(text).ok()?;
    table_of(table.get_ref())
}

fn table_of(theirs: &DeTable) -> Option<Value> {
    let mut table = Table::default();
    for (key, value) in theirs {
        let node = Node { line: 0, value: convert(value.get_ref())? };
        table.entries.push(Entry { key: key.get_ref().to_string(), line: 0, node });
    }
    Some(plain(Value::Table(table)))
}

fn convert(value: &DeValue) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::Text(text.replace("\r\n", "\n")),
        DeValue::Integer(number) => {
            Value::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()?)
        }
        DeValue::Float(number) => number_of(number.as_str())?,
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(_) => return None,
        DeValue::Array(values) => {
            let nodes = values.iter().map(|v| Some(Node { line: 0, value: convert(v.get_ref())? }));
            Value::Array(nodes.collect::<Option<_>>()?)
        }
        DeValue::Table(table) => table_of(table)?,
    })
}

/// Without what the crate does not tell: lines, origins, the order.
fn plain(value: Value) -> Value {
    let node = |node: Node| Node { line: 0, value: plain(node.value) };
    match value {
        Value::Array(nodes) => Value::Array(nodes.into_iter().map(node).collect()),
        Value::Table(table) => {
            let entries = table.entries.into_iter();
            let entry = |e: Entry| Entry { key: e.key, line: 0, node: node(e.node) };
            let mut entries: Vec<Entry> = entries.map(entry).collect();
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            Value::Table(Table { entries, origin: Origin::Implied })
        }
        other => other,
    }
}

/// What we read as the crate does: whether we read it at all, and whether only the crate does.
#[track_caller]
fn compare(text: &str) -> (bool, bool) {
    let ours = parse(text.as_bytes()).map(|table| plain(Value::Table(table)));
    match (ours, theirs(text)) {
        (Ok(ours), Some(theirs)) => assert_eq!(ours, theirs, "{text}"),
        (Ok(ours), None) => panic!("only we read {text:?}: {ours:?}"),
        (Err(_), theirs) => return (false, theirs.is_some()),
    }
    (true, false)
}

#[test]
fn what_the_crate_reads_is_read_and_what_it_refuses_is_refused() {
    for text in [
        "",
        "\u{feff}a = 1",
        "a=1",
        "a = 1 # c",
        "a = 1\r\nb = 2\r\n",
        "a = 1\rb = 2",
        "a = 1 b = 2",
        "= 1",
        "a =",
        "a",
        "a = \n1",
        "\"\" = 1",
        "'' = 1",
        "\"a b\".'c d' . e = 1",
        "a.b = 1\na.c = 2",
        "a.b = 1\na.b.c = 2",
        "a = 1\na = 2",
        "[a]\n[a]",
        "[a.b]\n[a]\nx = 1",
        "[a.b]\n[a]\nb.c = 1",
        "[a]\nb.c = 1\n[a.b]",
        "[a]\nb.c = 1\n[a.b.d]\nx = 1",
        "[a.b.c]\n[a]\nb.d = 1",
        "[[a]]\nb = 1\n[[a]]\nb = 2\n[a.c]\nd = 1",
        "[[a]]\n[a]",
        "[a]\n[[a]]",
        "a = []\n[[a]]",
        "a = [{}]\n[a.b]",
        "a = [{x = 1}]\n[[a]]",
        "a = {b = 1}\n[a.c]",
        "a = {b = 1}\na.c = 2",
        "a = {b.c = 1, b.d = 2}",
        "a = {b = 1, b = 2}",
        "a = {b = 1,}",
        "a = {\nb = 1\n}",
        "[a.b.c]\n[a]\nb.d = 1\n[a.b]",
        "[a.b.c]\n[a]\nb.d = 1\n[a.b.e]",
        "[a.b.c]\n[a]\nb.c.d = 1",
        "a = {,}",
        "a = [1, 2,\n# c\n 3,]",
        "a = [1 2]",
        "a = [,]",
        "a = [",
        "a = {",
        "a = [[[]]]",
        "[ a . b ]",
        "[a",
        "[]",
        "[[a]",
        "[a]]",
        "[[ a ]]",
        "[ [a]]",
        "[a] b = 1",
        "[a.]",
        "[.a]",
        "a. = 1",
        "[[a.b]]\n[a]\nc=1\n[[a.b]]",
        "[a]\nb=1\n[a.b]",
        "[[a.b]]\n[a.b.c]\n[a.b.c]",
        "[[a]]\n[a.b]\n[[a]]\n[a.b]",
        "a = 'it''s'",
        r"a = 'c:\x'",
        r#"a = "\u00e9\U0001F600\x41\e\b\t\n\f\r\"\\""#,
        r#"a = "\q""#,
        r#"a = "\ud800""#,
        r#"a = "\u12""#,
        "a = \"\t\"",
        "a = \"\u{7f}\"",
        "a = \"\u{80}\"",
        "a = \"x\ny\"",
        "a = \"",
        "a = '",
        "a = \"\"\"\nx\ny\"\"\"",
        "a = \"\"\"x\"\"\"\"\"",
        "a = \"\"\"x\"\"\"\"\"\"",
        "a = \"\"\"\"\"\"",
        "a = \"\"\"\"x\"\"\"",
        "a = \"\"\" \\\n \n  x \\  \n y\"\"\"",
        "a = \"\"\"x \\ y\"\"\"",
        "a = '''\n''x''\n'''",
        "a = '''x'''''",
        "a = '''\r\nx\r\ny'''",
        "a = '''x\ry'''",
        "a = '''\\\n'''",
        "\"\"\"a\"\"\" = 1",
        "a = 0",
        "a = +0",
        "a = -0",
        "a = 00",
        "a = 01",
        "a = 1_000",
        "a = 1__0",
        "a = _1",
        "a = 1_",
        "a = 0x1f",
        "a = 0xFF_ff",
        "a = -0x1",
        "a = 0o17",
        "a = 0o8",
        "a = 0b101",
        "a = 0b2",
        "a = 0x",
        "a = 9223372036854775807",
        "a = -9223372036854775808",
        "a = 9223372036854775808",
        "a = +1",
        "a = ++1",
        "a = 1.5",
        "a = 1.",
        "a = .5",
        "a = 1e3",
        "a = 1e+03",
        "a = 1.5E-3",
        "a = 1e",
        "a = 01.5",
        "a = 1_0.0_1",
        "a = 1._0",
        "a = inf",
        "a = -inf",
        "a = +nan",
        "a = true",
        "a = True",
        "a = false1",
        "a = 1979-05-27",
        "a = 07:32:00",
        "a = b",
        "a = 1 = 2",
        "# c\u{1}",
        "# c\u{e9}\ta",
        "a = 1 #\u{0}",
        "\u{e9} = 1",
        "a\u{b}= 1",
        "a = 1\n\n\n  [b]  # c\n\t c = 2",
        "a.b.c = 1\n[a.d]",
        "a.b.c = 1\n[a.b.e]",
        "[x.y]\n[x]\ny = 1",
        "a = {b = {c = 1}}\n[a.b]",
        "a = \"\u{0}\"",
    ] {
        assert!(!compare(text).1, "only they read {text:?}");
    }
}

#[test]
fn random_changes_of_the_corpus_are_read_as_the_crate_reads_them() {
    let (mut read, mut missed) = (0, 0);
    fuzz("toml", &WORDS, 20_000, |bytes| {
        let verdict = parse(bytes).map(drop).map_err(|fault| fault.error.to_string());
        let Ok(text) = std::str::from_utf8(bytes) else {
            assert!(verdict.is_err());
            return verdict;
        };
        let (ours, only_theirs) = compare(text);
        read += usize::from(ours);
        missed += usize::from(only_theirs);
        verdict
    });
    // The crate takes newlines anywhere in an inline table, the specification does not.
    assert!(read > 2000 && missed < 50, "{read} read, {missed} not");
}

#[test]
fn each_key_and_value_knows_its_line() {
    let table = parse(b"# one\na = [\n 1,\n 2]\n\n[b]\nc = '''\n\n''' \nd.e = 1\n").unwrap();
    let line = |path: &[&str]| {
        let mut table = &table;
        let (last, path) = path.split_last().unwrap();
        for key in path {
            let Value::Table(inner) = &table.get(key).unwrap().node.value else { panic!("{key}") };
            table = inner;
        }
        table.get(last).unwrap().line
    };
    assert_eq!((line(&["a"]), line(&["b"])), (2, 6));
    assert_eq!((line(&["b", "c"]), line(&["b", "d", "e"])), (7, 10));
    let Value::Array(nodes) = &table.get("a").unwrap().node.value else { panic!() };
    assert_eq!(nodes.iter().map(|node| node.line).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn a_fault_names_its_line_and_what_is_wrong() {
    for (text, line, what) in [
        ("a = 1\nb", 2, "the end of the file where = should be"),
        ("a = 1\nb = nginx\n", 2, "\"nginx\" is no value"),
        ("a = 1\n\na = 2", 3, "\"a\" was set in line 1"),
        ("[a]\n[b]\n[a]\n", 3, "\"a\" was defined before"),
        ("a = 1\n[a.b]\n", 2, "\"a\" is no table"),
        ("a = [\n1\n2]", 3, "\"2\" where , or ] should be"),
        ("a = \"\nb", 1, "the string does not end"),
        ("a = '''\nb", 2, "the string does not end"),
        ("[a\nb = 1", 1, "the header does not end in ]"),
        ("a = \"\\z\"", 1, "unknown escape in a string"),
        ("a = 1 2", 1, "\"2\" where the line should end"),
    ] {
        let fault = parse(text.as_bytes()).unwrap_err();
        assert_eq!((fault.line, fault.error.to_string()), (line, what.to_string()), "{text:?}");
    }
    let fault = parse(b"a = 1\n\xff").unwrap_err();
    assert_eq!((fault.line, fault.error.to_string()), (2, "not UTF-8".into()));
}

#[test]
fn what_nests_too_deep_is_refused() {
    for text in
        ["[".repeat(100_000), "a = ".to_string() + &"[".repeat(100_000), "a.".repeat(100_000)]
    {
        assert!(parse(text.as_bytes()).is_err());
    }
    let text = format!("a = {}{}", "[".repeat(30), "]".repeat(30));
    assert!(parse(text.as_bytes()).is_ok());
}

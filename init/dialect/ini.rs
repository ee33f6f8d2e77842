//! INI files as supervisor reads them: Python's configparser, with comments behind values. Pure.
//!
//! ```text
//! ; a comment, as is what begins with #
//! [section]            what follows the bracket is not read
//! key = value ; with a blank before it, this is a comment too
//! KEY: value           a colon does as well; keys are in lower case
//!   goes on            deeper than its key: the next line of the value
//! ```
//!
//! A section that comes twice is one; of a key that comes twice in it, the last counts.

use coracle::error::Error;
use coracle::toml::Fault;
use std::path::Path;
use std::rc::Rc;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    pub name: String,
    /// Where it first comes.
    pub at: Place,
    pub entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub key: String,
    pub value: String,
    pub at: Place,
}

/// A line of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    pub file: Rc<Path>,
    pub line: u32,
}

impl Place {
    pub fn shown(&self) -> String {
        format!("{}:{}", self.file.display(), self.line)
    }
}

impl Section {
    /// The value that counts.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    fn set(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|old| old.key == entry.key) {
            Some(old) => *old = entry,
            None => self.entries.push(entry),
        }
    }
}

/// The sections of files, in the order in which they first came.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Document {
    pub sections: Vec<Section>,
    /// The second and later beginnings of sections.
    pub again: Vec<(String, Place)>,
}

impl Document {
    pub fn get(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// Reads a file on behind what is there.
    pub fn read(&mut self, file: &Rc<Path>, text: &str) -> Result<(), Fault> {
        let mut reader = Reader { document: self, file, section: None, key: None, indent: 0 };
        (1..).zip(text.lines()).try_for_each(|(line, text)| reader.line(line, text))?;
        for section in &mut self.sections {
            for entry in &mut section.entries {
                entry.value.truncate(entry.value.trim_end().len());
            }
        }
        Ok(())
    }
}

struct Reader<'a> {
    document: &'a mut Document,
    file: &'a Rc<Path>,
    /// The present section, by its number.
    section: Option<usize>,
    /// The key that a deeper line belongs to.
    key: Option<String>,
    /// How deep the line of that key stands.
    indent: usize,
}

impl Reader<'_> {
    fn line(&mut self, line: u32, text: &str) -> Result<(), Fault> {
        let fault = |error| Err(Fault { line, error });
        let (bare, commented) = without_comment(text);
        let value = bare.trim();
        if value.is_empty() {
            // An empty line in a value is part of it.
            if !commented && let Some(entry) = self.entry() {
                entry.value.push('\n');
            }
            return Ok(());
        }
        let indent = text.len().saturating_sub(text.trim_start().len());
        if self.section.is_some() && self.key.is_some() && indent > self.indent {
            if let Some(entry) = self.entry() {
                entry.value.push('\n');
                entry.value.push_str(value);
            }
            return Ok(());
        }
        self.indent = indent;
        let at = Place { file: self.file.clone(), line };
        if let Some(rest) = value.strip_prefix('[')
            && let Some((name, _)) = rest.rsplit_once(']')
        {
            if name.is_empty() {
                return fault(Error::invalid("a section without a name").hint("write [NAME]"));
            }
            self.begin(name, at);
            return Ok(());
        }
        let Some(section) = self.section else {
            let error = Error::invalid(format!("\"{value}\" stands before all sections"));
            return fault(error.hint("begin with one, such as [supervisord]"));
        };
        let Some((key, value)) = value.split_once(['=', ':']) else {
            let error = Error::invalid(format!("\"{value}\" is neither a section nor a key"));
            return fault(error.hint("write KEY = VALUE; a line that goes on stands deeper"));
        };
        let key = key.trim().to_ascii_lowercase();
        if key.is_empty() {
            return fault(Error::invalid("a value without a key").hint("write KEY = VALUE"));
        }
        self.key = Some(key.clone());
        if let Some(section) = self.document.sections.get_mut(section) {
            section.set(Entry { key, value: value.trim().to_string(), at });
        }
        Ok(())
    }

    fn begin(&mut self, name: &str, at: Place) {
        self.key = None;
        let sections = &mut self.document.sections;
        if let Some(known) = sections.iter().position(|section| section.name == name) {
            self.document.again.push((name.to_string(), at));
            self.section = Some(known);
            return;
        }
        self.section = Some(sections.len());
        sections.push(Section { name: name.to_string(), at, entries: Vec::new() });
    }

    /// What the present key has so far.
    fn entry(&mut self) -> Option<&mut Entry> {
        let key = self.key.as_ref()?;
        let section = self.document.sections.get_mut(self.section?)?;
        section.entries.iter_mut().find(|entry| entry.key == *key)
    }
}

/// What stands before a comment, and whether there is one: it begins the line, or follows a blank.
fn without_comment(line: &str) -> (&str, bool) {
    let mut blank = true;
    for (at, c) in line.char_indices() {
        if blank && matches!(c, ';' | '#') {
            return (line.get(..at).unwrap_or_default(), true);
        }
        blank = c.is_whitespace();
    }
    (line, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::fuzz;

    fn read(text: &str) -> Result<Document, Fault> {
        let mut document = Document::default();
        document.read(&Rc::from(Path::new("x.conf")), text).map(|()| document)
    }

    fn value(text: &str, section: &str, key: &str) -> Option<String> {
        let document = read(text).unwrap();
        Some(document.get(section)?.get(key)?.value.clone())
    }

    #[test]
    fn a_value_ends_before_a_comment_that_follows_a_blank() {
        for (line, expected) in [
            ("command = /bin/cat", "/bin/cat"),
            ("command=/bin/cat ; reads", "/bin/cat"),
            ("command=/bin/cat # reads", "/bin/cat"),
            ("command=/bin/cat;reads", "/bin/cat;reads"),
            ("command=sh -c \"a;b\"", "sh -c \"a;b\""),
            ("COMMAND : a = b", "a = b"),
            ("command=", ""),
            ("  command = indented", "indented"),
        ] {
            let text = format!("[program:x]\n{line}\n");
            assert_eq!(value(&text, "program:x", "command").as_deref(), Some(expected), "{line}");
        }
    }

    #[test]
    fn deeper_lines_go_on_with_the_value() {
        let text = "[include]\nfiles = a\n  b ; no more\n\n; nothing\n  c\nother=1\n";
        assert_eq!(value(text, "include", "files").unwrap(), "a\nb\n\nc");
        assert_eq!(value(text, "include", "other").unwrap(), "1");
        let text = "[a]\nx=1\n\n\n[b]\nx=2\n";
        assert_eq!(value(text, "a", "x").unwrap(), "1");
    }

    #[test]
    fn what_comes_twice_is_one_and_the_last_counts() {
        let text = "[a]\nx=1\ny=1\n[b]\n[a] trailing\nx=2\nx=3";
        let document = read(text).unwrap();
        let names: Vec<&str> = document.sections.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(value(text, "a", "x").unwrap(), "3");
        assert_eq!(value(text, "a", "y").unwrap(), "1");
        assert_eq!(document.again[0].1.line, 5);
    }

    #[test]
    fn faults_are_named_with_their_line() {
        for (text, line, problem) in [
            ("x=1", 1, "\"x=1\" stands before all sections"),
            ("[a]\nnothing", 2, "\"nothing\" is neither a section nor a key"),
            ("[a]\n= 1", 2, "a value without a key"),
            ("[a]\n[]", 2, "a section without a name"),
            ("[a\nx=1", 1, "\"[a\" stands before all sections"),
        ] {
            let fault = read(text).unwrap_err();
            assert_eq!((fault.line, fault.error.to_string().as_str()), (line, problem), "{text}");
            assert!(!fault.error.hints().is_empty());
        }
    }

    #[test]
    fn of_the_corpus_every_document_is_read_or_refused() {
        let words =
            ["[", "]", "=", ":", ";", " #", "\n", "\n  ", "\r\n", "[program:x]", "%(here)s"];
        fuzz("supervisord", &words, 5_000, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let document = read(&text).map_err(|fault| fault.error.to_string())?;
            for section in &document.sections {
                assert!(!section.name.is_empty());
                let keys = section.entries.iter().map(|entry| &entry.key);
                let mut keys: Vec<_> = keys.collect();
                keys.sort();
                let count = keys.len();
                keys.dedup();
                assert_eq!(keys.len(), count);
            }
            Ok(())
        });
    }
}

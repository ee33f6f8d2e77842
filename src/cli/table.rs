//! Tables as Docker prints them: Go's tabwriter with cells of at least ten columns and three
//! blanks between them.

const MIN_WIDTH: usize = 10;
const PADDING: usize = 3;

/// The rows as text, each cell but the last of a row padded to its column.
pub fn table(rows: &[Vec<String>]) -> String {
    table_of(rows, MIN_WIDTH)
}

/// The same with cells of at least so many columns.
pub fn table_of(rows: &[Vec<String>], min_width: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width_of = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or_default();
        (widest + PADDING).max(min_width)
    };
    let widths: Vec<usize> = (0..columns).map(width_of).collect();
    let mut text = String::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if at + 1 < row.len() {
                let blanks = widths[at] - cell.chars().count();
                text.extend(std::iter::repeat_n(' ', blanks));
            }
        }
        text.push('\n');
    }
    text
}

/// `text`, cut to so many characters, the last of which then says that there is more.
pub fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_string();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_as_dockers() {
        let rows = [
            ["NAME", "A LONG TITLE", "LAST"].map(String::from).to_vec(),
            ["ä", "x", ""].map(String::from).to_vec(),
        ];
        let expected = "NAME      A LONG TITLE   LAST\nä         x              \n";
        assert_eq!(table(&rows), expected);
    }
}

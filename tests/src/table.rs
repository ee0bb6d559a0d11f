//! A table for people: columns as wide as they need to be, cells of several lines.

/// Renders rows below their column titles; a row's cells may have several lines.
pub(crate) fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    let all: Vec<Vec<String>> =
        std::iter::once(titles.iter().map(ToString::to_string).collect()).chain(rows.iter().cloned()).collect();
    let width = |column: usize| {
        let lines = all.iter().flat_map(|row| row[column].lines());
        lines.map(|line| line.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let rule = widths.iter().map(|width| "-".repeat(width + 2)).collect::<Vec<_>>().join("+");
    let mut text = String::new();
    for row in &all {
        let height = row.iter().map(|cell| cell.lines().count()).max().unwrap_or(0);
        for line in 0..height {
            let cells = row.iter().zip(&widths).map(|(cell, width)| {
                let part = cell.lines().nth(line).unwrap_or_default();
                format!(" {part:<width$} ")
            });
            text.push_str(cells.collect::<Vec<_>>().join("|").trim_end());
            text.push('\n');
        }
        text.push_str(&rule);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_as_wide_as_their_widest_line() {
        let rows = [vec!["a\nlong".to_owned(), "b".to_owned()]];
        assert_eq!(table(&["x", "yy"], &rows), " x    | yy\n------+----\n a    | b\n long |\n------+----\n");
    }
}

//! Compares an output with a sample of Cisco's, differences of DIFFERENCES.md apart.

/// The rows of DIFFERENCES.md.
pub(crate) struct Differences {
    rows: Vec<Row>,
}

struct Row {
    /// The sample it is about.
    section: String,
    /// Cisco's line; empty if the line is ours only.
    theirs: String,
    /// Our lines; none if the line is Cisco's only.
    ours: Vec<String>,
    used: bool,
}

impl Differences {
    /// Reads the tables: a heading names the sample, the first two cells of a row are lines in
    /// backquotes, several of ours parted by ` ⏎ `.
    pub(crate) fn parse(list: &str) -> Self {
        let mut section = String::new();
        let mut rows = Vec::new();
        for line in list.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                heading.clone_into(&mut section);
            }
            let mut cells = line.split('|').skip(1).map(str::trim);
            let (Some(theirs), Some(ours)) = (cells.next(), cells.next()) else {
                continue;
            };
            if !(theirs.starts_with('`') || ours.starts_with('`')) {
                continue;
            }
            let why = cells.next().unwrap_or("");
            assert!(!why.is_empty(), "a difference without a reason: {line}");
            let line_of = |cell: &str| normal(cell.trim_matches('`'));
            let ours = ours.split('⏎').map(|cell| line_of(cell.trim()));
            rows.push(Row {
                section: section.clone(),
                theirs: line_of(theirs),
                ours: ours.filter(|line| !line.is_empty()).collect(),
                used: false,
            });
        }
        Self { rows }
    }

    /// The lines of the sample and of our output, with the listed differences taken out.
    pub(crate) fn reconcile(
        &mut self,
        name: &str,
        sample: &str,
        output: &str,
    ) -> (Vec<String>, Vec<String>) {
        let theirs = lines(sample);
        let theirs = theirs
            .into_iter()
            .flat_map(|line| self.replaced(name, line));
        let theirs: Vec<String> = theirs.collect();
        let mut ours = lines(output);
        ours.retain(|line| !self.is_addition(name, line));
        (theirs, ours)
    }

    fn replaced(&mut self, name: &str, line: String) -> Vec<String> {
        let row = self.of_sample(name).find(|row| row.theirs == line);
        let Some(row) = row else { return vec![line] };
        row.used = true;
        row.ours.clone()
    }

    fn is_addition(&mut self, name: &str, line: &String) -> bool {
        let mut rows = self.of_sample(name).filter(|row| row.theirs.is_empty());
        let row = rows.find(|row| row.ours.contains(line));
        row.is_some_and(|row| {
            row.used = true;
            true
        })
    }

    fn of_sample(&mut self, name: &str) -> impl Iterator<Item = &mut Row> {
        let rows = self.rows.iter_mut();
        rows.filter(move |row| row.section == name)
    }

    /// Rows that were of no use.
    pub(crate) fn idle(&self) -> Vec<String> {
        let idle = self.rows.iter().filter(|row| !row.used);
        idle.map(|row| format!("{}: {} | {:?}", row.section, row.theirs, row.ours))
            .collect()
    }
}

fn lines(text: &str) -> Vec<String> {
    let lines = text.lines().map(normal);
    lines.filter(|line| !line.is_empty()).collect()
}

/// White space is lost or invented in the published samples, a space after a colon too.
fn normal(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.join(" ").replace(": ", ":")
}

#[test]
fn a_difference_that_is_not_listed_is_found() {
    let list = "## x\n|`a: 1`|`a: 2 ⏎ b`|why|\n|`c`||why|\n||`d`|why|\n";
    let mut differences = Differences::parse(list);
    let (theirs, ours) = differences.reconcile("x", "a:1\n c\ne  f\n", "a: 2\nb\ne f\nd\n");
    assert_eq!(theirs, ours);
    assert!(differences.idle().is_empty());
    let (theirs, ours) = differences.reconcile("x", "e\n", "f\n");
    assert_ne!(theirs, ours);
    let (theirs, ours) = differences.reconcile("y", "a: 1\n", "a: 2\nb\n");
    assert_ne!(theirs, ours, "a row of another sample");
    let mut unused = Differences::parse(list);
    unused.reconcile("x", "", "");
    assert_eq!(unused.idle().len(), 3);
}

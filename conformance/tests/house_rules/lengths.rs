//! Rules about lengths: of files, functions and lines.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::{none, sources};

/// A file longer than this is split; the aim is 400.
const FILE_LINES_MAX: usize = 800;
/// A function longer than this is split; the aim is 50.
const FN_LINES_MAX: usize = 70;
/// rustfmt wraps code here, but neither literals nor most comments.
const LINE_COLUMNS_MAX: usize = 100;

#[test]
fn files_stay_short_and_every_file_says_what_it_is() {
    let mut faults = Vec::new();
    for (path, text) in sources(".rs") {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            faults.push(format!("{path}: {lines} lines, at most {FILE_LINES_MAX}"));
        }
        if !text.starts_with("//!") && !text.starts_with("#!") {
            faults.push(format!("{path}: does not begin with a //! text"));
        }
    }
    none(&faults);
}

#[test]
fn functions_stay_short() {
    let mut faults = Vec::new();
    let mut functions = 0;
    for (path, text) in sources(".rs") {
        for function in functions_of(&path, &text) {
            functions += 1;
            if function.lines > FN_LINES_MAX {
                let Function { name, line, lines } = function;
                faults.push(format!("{path}:{line}: `{name}` has {lines} lines"));
            }
        }
    }
    assert!(functions > 2_000, "only {functions} functions found: the scan is broken");
    none(&faults);
}

#[test]
fn lines_stay_within_100_columns() {
    let mut faults = Vec::new();
    for (path, text) in sources(".rs") {
        for (line, columns) in long_lines(&text) {
            faults.push(format!("{path}:{line}: {columns} columns"));
        }
    }
    none(&faults);
}

struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// Every function of a file, whatever stands before its `fn`: in modules, impls, traits and other
/// functions. Not those that a macro writes: they are not functions yet.
fn functions_of(path: &str, text: &str) -> Vec<Function> {
    struct Found(Vec<Function>);
    impl Found {
        fn add(&mut self, vis: Option<&syn::Visibility>, sig: &syn::Signature, body: &syn::Block) {
            let from: proc_macro2::Span = match vis {
                Some(vis) if !matches!(vis, syn::Visibility::Inherited) => vis.span(),
                _ => sig.span(),
            };
            let (line, last) = (from.start().line, body.brace_token.span.close().end().line);
            self.0.push(Function { name: sig.ident.to_string(), line, lines: last - line + 1 });
        }
    }
    impl<'ast> Visit<'ast> for Found {
        fn visit_item_fn(&mut self, f: &'ast syn::ItemFn) {
            self.add(Some(&f.vis), &f.sig, &f.block);
            visit::visit_item_fn(self, f);
        }
        fn visit_impl_item_fn(&mut self, f: &'ast syn::ImplItemFn) {
            self.add(Some(&f.vis), &f.sig, &f.block);
            visit::visit_impl_item_fn(self, f);
        }
        fn visit_trait_item_fn(&mut self, f: &'ast syn::TraitItemFn) {
            if let Some(body) = &f.default {
                self.add(None, &f.sig, body);
            }
            visit::visit_trait_item_fn(self, f);
        }
    }
    let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut found = Found(Vec::new());
    found.visit_file(&file);
    found.0
}

/// What stands before a table in code, whose rows rustfmt would take apart. It ends with the line
/// that closes it.
const TABLE: &str = "#[rustfmt::skip] // A table";

/// Line and columns of the lines that are too long. Drawings and tables may be: in comments the
/// lines between two fences, and those that begin with a bar; in code what [`TABLE`] begins.
fn long_lines(text: &str) -> Vec<(usize, usize)> {
    let mut fenced = false;
    let mut in_table = false;
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if in_table || line.starts_with(TABLE) {
            in_table = !line.starts_with([']', '}', ')']);
            continue;
        }
        let comment = line
            .trim_start()
            .strip_prefix("//")
            .map(|rest| rest.strip_prefix(['!', '/']).unwrap_or(rest).trim_start());
        match comment {
            Some(comment) if comment.starts_with("```") => fenced = !fenced,
            Some(comment) if fenced || comment.starts_with('|') => continue,
            Some(_) => {}
            None => fenced = false,
        }
        let columns = line.chars().count();
        if columns > LINE_COLUMNS_MAX {
            found.push((at + 1, columns));
        }
    }
    found
}

#[test]
fn every_form_of_fn_is_counted() {
    let text = "
        fn a() {}
        pub(crate) async fn b() {\n}
        pub(in crate::x) const unsafe fn c() {\n\n}
        extern \"C\" fn d<T: Fn() -> u8>(t: T) -> impl Sized where T: Sized {\n\n\n t }
        trait T { fn declared(); fn e() {} }
        impl S { #[inline]\n pub fn f() { fn g() {} } }
        mod m { async unsafe extern \"C\" fn h() { let brace = '{'; let s = \"}\"; \n } }
    ";
    let found: Vec<(String, usize)> =
        functions_of("here", text).into_iter().map(|f| (f.name, f.lines)).collect();
    let wanted = [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 1), ("f", 1), ("g", 1), ("h", 2)];
    assert_eq!(found, wanted.map(|(name, lines)| (name.to_owned(), lines)));
}

#[test]
fn long_lines_are_found_beside_drawings() {
    let long = "─".repeat(LINE_COLUMNS_MAX - 3);
    let code = |columns: usize| "x".repeat(columns);
    assert_eq!(long_lines(&format!("//!{long}")), [], "100 characters, more than 100 bytes");
    assert_eq!(long_lines(&format!("//! {long}")), [(1, 101)]);
    assert_eq!(long_lines(&format!("//! ```text\n//!   {long}\n//! ```\n//! {long}")), [(4, 101)]);
    assert_eq!(long_lines(&format!("    /// | {long} |")), []);
    assert_eq!(long_lines(&format!("{}\n{}", code(100), code(101))), [(2, 101)]);
    let table = format!("{TABLE}\nstatic T: [u8; 1] = [\n    {0}\n];\n{0}", code(101));
    assert_eq!(long_lines(&table), [(5, 101)]);
    assert_eq!(long_lines(&format!("/// ```text\n{}", code(101))), [(2, 101)], "an open fence");
}

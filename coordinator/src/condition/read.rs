//! From text to a tree that is known to be harmless.

use std::sync::Arc;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, SelectExpr, SourceInfo, operators,
};
use cel::common::types::{CelBool, STRING_TYPE};
use cel::{Context, Env, ExecutionError, Value};
use skein_core::Refusal;
use skein_core::refusal::Kind;

use super::names::{ENGINES, KINDS, Known, NAMES, Row};
use super::{order, place};

/// An expression of more bytes is refused.
const TEXT_MAX: usize = 2_000;
/// What may stand inside of each other. Each level is a dozen calls deep in the parser.
const DEPTH_MAX: usize = 24;
/// Operators, dots and brackets: each may be a level of the tree, one inside of the next.
const SIGNS_MAX: usize = 160;

/// What evaluating one node of a tree takes at most, in nanoseconds, and comparing one version.
const NODE: u64 = 300;
const VERSION: u64 = 30;

pub(super) const HELP: &str =
    "docs/fleet.md says what a condition may say; `skein targets --where …` shows what it holds of";

/// Functions that are offered, beside the operators.
const FUNCTIONS: [&str; 5] = ["at_least", "contains", "endsWith", "size", "startsWith"];
const OPERATORS: [&str; 18] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::IN,
];

/// A condition that was read: every name and function in it may mean something.
pub(super) struct Expression {
    text: String,
    tree: IdedExpr,
    places: SourceInfo,
    environment: Arc<Env>,
    labels: Vec<Label>,
    outside: Tally,
    inside: Vec<Tally>,
}

/// A name that is a label, or nothing.
struct Label {
    name: String,
    node: u64,
    /// Written as `labels.name` or `labels["name"]`.
    spelt_out: bool,
}

/// What is evaluated once.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    nodes: u64,
    /// Mentions of `versions`, each of which may be gone through.
    lists: u64,
}

/// What is wrong, and at which node.
struct Wrong {
    what: String,
    node: Option<u64>,
}

impl Wrong {
    fn at(node: u64, what: impl Into<String>) -> Self {
        Self { what: what.into(), node: Some(node) }
    }
}

impl Expression {
    /// Reads an expression.
    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        bounded(text)?;
        let environment = environment();
        let parser = environment.parser();
        let (tree, places) = match parser.parse_with_source_info(text) {
            Ok(parsed) => parsed,
            Err(errors) => {
                let first = errors.errors.first();
                let (line, column) = first.map_or((1, 1), |error| error.pos);
                let what = first.map_or("it cannot be read", |error| error.msg.as_str());
                let at = at_line(text, line, column);
                return Err(invalid(text, what, at.map(|at| (at, at + 1))));
            }
        };
        let mut walk = Walk { labels: Vec::new(), inside: Vec::new(), scope: Vec::new() };
        let mut tree = tree;
        let mut outside = Tally::default();
        match walk.node(&mut tree, &mut outside) {
            Ok(()) => {}
            Err(wrong) => return Err(invalid(text, &wrong.what, at_node(&places, wrong.node))),
        }
        let Walk { labels, inside, .. } = walk;
        Ok(Self { text: text.to_owned(), tree, places, environment, labels, outside, inside })
    }

    /// Refuses names that nothing in this fleet gives a meaning.
    pub(super) fn means_something(&self, known: &Known<'_>) -> Result<(), Refusal> {
        let strange = self.labels.iter().find(|label| !known.has(&label.name));
        let Some(label) = strange else { return Ok(()) };
        let what = if label.spelt_out {
            format!("no target has a label `{}`", label.name)
        } else {
            format!("there is no name `{}`, and no target has such a label", label.name)
        };
        let (names, labels) = (NAMES.join(", "), known.few());
        let what = match (label.spelt_out, labels.as_str()) {
            (true, "") => format!("{what}; none has any label"),
            (true, labels) => format!("{what}; the labels are {labels}"),
            (false, "") => format!("{what}; the names are {names}"),
            (false, labels) => format!("{what}; the names are {names}, and the labels {labels}"),
        };
        Err(invalid(&self.text, &what, at_node(&self.places, Some(label.node))))
    }

    /// What asking about a target with so many versions in force takes, in nanoseconds.
    pub(super) fn work(&self, versions: usize) -> u64 {
        let versions = u64::try_from(versions).unwrap_or(u64::MAX);
        let once = |tally: &Tally| {
            let lists = tally.lists.saturating_mul(versions).saturating_mul(VERSION);
            tally.nodes.saturating_mul(NODE).saturating_add(lists)
        };
        self.inside.iter().fold(once(&self.outside), |sum, inside| {
            // A list that is written out has no more members than the whole text has nodes.
            let times = versions.max(self.outside.nodes);
            sum.saturating_add(times.saturating_mul(once(inside)))
        })
    }

    /// Whether it holds of a target; the error says why that cannot be told.
    pub(super) fn holds(&self, row: &Row<'_>) -> Result<bool, String> {
        let mut context = Context::with_env(Arc::clone(&self.environment));
        context.set_variable_resolver(row);
        let value = match Value::resolve_val(&self.tree, &context) {
            Ok(value) => value,
            Err(error) => return Err(self.failed(&error)),
        };
        value.downcast_ref::<CelBool>().map(|holds| *holds.inner()).ok_or_else(|| {
            let kind = value.get_type().name();
            let what =
                format!("a condition is true or false, and this one is a value of type {kind}");
            self.told(&what, None)
        })
    }

    fn failed(&self, error: &ExecutionError) -> String {
        match error {
            ExecutionError::NoSuchOverload(overload) => {
                let what = format!(
                    "`{}` cannot be applied to {}",
                    spelt(overload.function()),
                    overload.argument_types().join(" and ")
                );
                self.told(&what, first_call(&self.tree, overload.function()))
            }
            ExecutionError::NoSuchKey(name) => {
                self.told(&format!("there is nothing by the name {name}"), None)
            }
            other => {
                let mut what = other.to_string();
                what.truncate(what.char_indices().nth(200).map_or(what.len(), |(at, _)| at));
                self.told(&what, None)
            }
        }
    }

    fn told(&self, what: &str, node: Option<u64>) -> String {
        format!("{what}\n{}", place::shown(&self.text, at_node(&self.places, node)))
    }
}

fn environment() -> Arc<Env> {
    let mut environment = Env::stdlib().with_optional_support(false);
    let added = environment.add_member_overload(
        "at_least",
        "string_at_least_string",
        STRING_TYPE,
        vec![STRING_TYPE],
        order::at_least,
    );
    // The name is none of the library's.
    debug_assert_eq!(added, Ok(()));
    Arc::new(environment)
}

fn invalid(text: &str, what: &str, at: Option<(usize, usize)>) -> Refusal {
    let shown = place::shown(text, at);
    Refusal::new(Kind::Invalid, format!("read the condition: {what}\n{shown}"), HELP)
}

/// Refuses what the parser could get lost in.
fn bounded(text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(invalid(text, "it says nothing", None));
    }
    if text.len() > TEXT_MAX {
        let what =
            format!("the condition has {} bytes, and at most {TEXT_MAX} are read", text.len());
        return Err(Refusal::new(Kind::Invalid, what, HELP));
    }
    let (mut depth, mut signs) = (0_usize, 0_usize);
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.chars().enumerate() {
        if let Some(end) = quote {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == end {
                quote = None;
            }
            continue;
        }
        match c {
            '"' | '\'' => quote = Some(c),
            '(' | '[' | '{' => (depth, signs) = (depth + 1, signs + 1),
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '.' | '!' | '-' | '+' | '*' | '/' | '%' | '?' | '=' | '<' | '>' => signs += 1,
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Err(invalid(text, "too much stands inside of each other", Some((at, at + 1))));
        }
        if signs > SIGNS_MAX {
            return Err(invalid(text, "it has too many operators", Some((at, at + 1))));
        }
    }
    Ok(())
}

/// One-based line and column, as a place in the whole.
fn at_line(text: &str, line: isize, column: isize) -> Option<usize> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let column = usize::try_from(column).ok()?.saturating_sub(1);
    let before: usize = text.split('\n').take(line).map(|line| line.chars().count() + 1).sum();
    Some((before + column).min(text.chars().count()))
}

/// Where a node stands, in characters; the library counts bytes.
fn at_node(places: &SourceInfo, node: Option<u64>) -> Option<(usize, usize)> {
    let (first, last) = places.offset_for(node?)?;
    let (first, last) = (usize::try_from(first).ok()?, usize::try_from(last).ok()?);
    let before = |end: usize| places.source.char_indices().take_while(|(at, _)| *at < end).count();
    Some((before(first), before(last + 1)))
}

/// An operator as people write it.
fn spelt(function: &str) -> &str {
    match function {
        operators::INDEX => "[…]",
        operators::CONDITIONAL => "?:",
        other => operators::find_operator(other).map_or_else(
            || other.trim_matches(|c| matches!(c, '_' | '@')),
            |_| other.trim_matches('_'),
        ),
    }
}

fn first_call(tree: &IdedExpr, function: &str) -> Option<u64> {
    let within = |many: &[IdedExpr]| many.iter().find_map(|one| first_call(one, function));
    match &tree.expr {
        Expr::Call(call) if call.func_name == function => Some(tree.id),
        Expr::Call(call) => call
            .target
            .as_deref()
            .and_then(|target| first_call(target, function))
            .or_else(|| within(&call.args)),
        Expr::Comprehension(all) => {
            first_call(&all.iter_range, function).or_else(|| first_call(&all.loop_step, function))
        }
        Expr::List(list) => within(&list.elements),
        Expr::Select(select) => first_call(&select.operand, function),
        Expr::Map(_) | Expr::Struct(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {
            None
        }
    }
}

/// Goes through a tree, refuses what is not offered, and adds up what the rest takes.
struct Walk {
    labels: Vec<Label>,
    inside: Vec<Tally>,
    /// Names that `exists` and `all` bind.
    scope: Vec<String>,
}

impl Walk {
    fn node(&mut self, tree: &mut IdedExpr, tally: &mut Tally) -> Result<(), Wrong> {
        tally.nodes += 1;
        let id = tree.id;
        if let Some(name) = label_by_index(tree) {
            self.labels.push(Label { name: name.clone(), node: id, spelt_out: true });
            tree.expr = Expr::Ident(format!("labels.{name}"));
            return Ok(());
        }
        match &mut tree.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => {
                self.name(name, id, tally);
                Ok(())
            }
            Expr::Select(select) => self.select(select, id, tally),
            Expr::Call(call) => self.call(call, id, tally),
            Expr::List(list) => {
                list.elements.iter_mut().try_for_each(|element| self.node(element, tally))
            }
            Expr::Comprehension(all) => self.comprehension(all, id, tally),
            Expr::Map(_) | Expr::Struct(_) => Err(Wrong::at(id, "maps are not offered here")),
            Expr::Unspecified => Err(Wrong::at(id, "it cannot be read")),
        }
    }

    fn name(&mut self, name: &str, id: u64, tally: &mut Tally) {
        if self.scope.iter().any(|bound| bound == name) {
            return;
        }
        if name == "versions" {
            tally.lists += 1;
        } else if !NAMES.contains(&name) {
            self.labels.push(Label { name: name.to_owned(), node: id, spelt_out: false });
        }
    }

    /// `labels.region` and `has(labels.region)`: nothing else has fields.
    fn select(&mut self, select: &SelectExpr, id: u64, tally: &mut Tally) -> Result<(), Wrong> {
        tally.nodes += 1;
        match &select.operand.expr {
            Expr::Ident(name) if name == "labels" && !self.scope.contains(name) => {
                let label = Label { name: select.field.clone(), node: id, spelt_out: true };
                self.labels.push(label);
                Ok(())
            }
            _ => Err(Wrong::at(
                id,
                format!("only `labels` has parts, and this asks for `{}`", select.field),
            )),
        }
    }

    fn call(&mut self, call: &mut CallExpr, id: u64, tally: &mut Tally) -> Result<(), Wrong> {
        let function = call.func_name.as_str();
        let operator = OPERATORS.contains(&function) || function == operators::NOT_STRICTLY_FALSE;
        if !operator && !FUNCTIONS.contains(&function) {
            return Err(Wrong::at(
                id,
                format!(
                    "`{function}` is not offered here; the functions are {}, and on `versions` \
                     exists and all",
                    FUNCTIONS.join(", ")
                ),
            ));
        }
        words(call)?;
        for part in call.target.as_deref_mut().into_iter().chain(&mut call.args) {
            self.node(part, tally)?;
        }
        // What grows with each `+` would be copied again and again.
        if call.func_name == operators::ADD && call.args.iter().any(may_be_list) {
            return Err(Wrong::at(id, "lists cannot be added to each other here"));
        }
        Ok(())
    }

    fn comprehension(
        &mut self,
        all: &mut ComprehensionExpr,
        id: u64,
        tally: &mut Tally,
    ) -> Result<(), Wrong> {
        let offered = matches!(all.accu_init.expr, Expr::Literal(LiteralValue::Boolean(_)));
        if !offered || all.iter_var2.is_some() {
            return Err(Wrong::at(id, "of what goes through a list, exists and all are offered"));
        }
        if !self.scope.is_empty() {
            return Err(Wrong::at(id, "one exists or all cannot stand inside of another"));
        }
        let plain = match &all.iter_range.expr {
            Expr::Ident(name) => name == "versions",
            Expr::List(list) => {
                list.elements.iter().all(|one| matches!(one.expr, Expr::Literal(_)))
            }
            _ => false,
        };
        if !plain {
            return Err(Wrong::at(id, "exists and all go through `versions` or a list of values"));
        }
        self.node(&mut all.iter_range, tally)?;
        self.scope = vec![all.iter_var.clone(), all.accu_var.clone()];
        let mut inside = Tally::default();
        let parts = [&mut all.loop_cond, &mut all.loop_step, &mut all.result];
        let walked = parts.into_iter().try_for_each(|part| self.node(part, &mut inside));
        self.scope.clear();
        self.inside.push(inside);
        walked
    }
}

fn may_be_list(tree: &IdedExpr) -> bool {
    match &tree.expr {
        Expr::Ident(name) => name == "versions",
        Expr::List(_) => true,
        Expr::Call(call) => {
            let hands_on = [operators::CONDITIONAL, operators::INDEX, operators::ADD];
            hands_on.contains(&call.func_name.as_str()) && call.args.iter().any(may_be_list)
        }
        _ => false,
    }
}

/// `labels["app.tier"]`, which no name could say.
fn label_by_index(tree: &IdedExpr) -> Option<String> {
    let Expr::Call(call) = &tree.expr else { return None };
    let [of, index] = call.args.as_slice() else { return None };
    let labels = matches!(&of.expr, Expr::Ident(name) if name == "labels");
    match &index.expr {
        Expr::Literal(LiteralValue::String(name))
            if labels && call.func_name == operators::INDEX =>
        {
            Some(name.inner().to_owned())
        }
        _ => None,
    }
}

/// A kind or an engine that does not exist is compared with nothing.
fn words(call: &CallExpr) -> Result<(), Wrong> {
    let compares = [operators::EQUALS, operators::NOT_EQUALS, operators::IN]
        .contains(&call.func_name.as_str());
    let [left, right] = call.args.as_slice() else { return Ok(()) };
    if !compares {
        return Ok(());
    }
    let named = |one: &IdedExpr| match &one.expr {
        Expr::Ident(name) if name == "engine" => Some(("engine", &ENGINES[..])),
        Expr::Ident(name) if name == "kind" => Some(("kind", &KINDS[..])),
        _ => None,
    };
    for (name, values) in [(left, right), (right, left)] {
        let Some((what, known)) = named(name) else { continue };
        let values = match &values.expr {
            Expr::List(list) => list.elements.as_slice(),
            _ => std::slice::from_ref(values),
        };
        for value in values {
            if let Expr::Literal(LiteralValue::String(text)) = &value.expr
                && !known.contains(&text.inner())
            {
                let maria = if what == "engine" { " (mysql is MariaDB, too)" } else { "" };
                return Err(Wrong::at(
                    value.id,
                    format!(
                        "there is no {what} `{}`; it is one of {}{maria}",
                        text.inner(),
                        known.join(", ")
                    ),
                ));
            }
        }
    }
    Ok(())
}

//! Text into rules.

use std::{fmt, iter::Peekable, ops::Range, str::Chars};

use super::{
    Comparison, Rule, Test,
    field::{About, Field, Number, Word, nearest},
};

/// So deep may brackets and inversions be.
const MAX_DEPTH: usize = 32;
/// Longer texts are none that anybody typed.
const MAX_CHARS: usize = 1000;

/// Why a filter is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FilterError {
    /// The characters that are wrong.
    pub(crate) at: Range<usize>,
    said: String,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

impl std::error::Error for FilterError {}

/// None for a text without any.
pub(super) fn rule(text: &str, about: About) -> Result<Option<Rule>, FilterError> {
    if text.chars().count() > MAX_CHARS {
        return Err(wrong(0..MAX_CHARS, "a filter has 1,000 characters at most"));
    }
    let tokens = Lexer::new(text).all()?;
    let mut reader = Reader {
        tokens: &tokens,
        about,
        depth: 0,
    };
    if reader.tokens.is_empty() {
        return Ok(None);
    }
    let rule = reader.any()?;
    match reader.tokens.first() {
        None => Ok(Some(rule)),
        Some(left) => Err(wrong(left.at.clone(), "this bracket opens nothing")),
    }
}

fn wrong(at: Range<usize>, said: impl Into<String>) -> FilterError {
    let said = said.into();
    FilterError { at, said }
}

#[derive(Clone, Debug)]
struct Token {
    at: Range<usize>,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Open,
    Close,
    And,
    Or,
    Not,
    Word(String),
    Condition {
        field: (Range<usize>, String),
        operator: (Range<usize>, Operator),
        value: (Range<usize>, String),
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Has,
    HasNot,
    Compare(Comparison),
}

struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            chars: text.chars().peekable(),
            at: 0,
        }
    }

    fn all(mut self) -> Result<Vec<Token>, FilterError> {
        let mut tokens = Vec::new();
        loop {
            self.skip_space();
            let start = self.at;
            let Some(next) = self.chars.peek() else {
                return Ok(tokens);
            };
            let kind = match next {
                '(' => self.one(Kind::Open),
                ')' => self.one(Kind::Close),
                '!' => self.one(Kind::Not),
                '&' | '|' => self.junction(),
                '"' => Kind::Word(self.quoted()?),
                _ => self.word_or_condition()?,
            };
            tokens.push(Token {
                at: start..self.at,
                kind,
            });
        }
    }

    fn next(&mut self) -> Option<char> {
        let next = self.chars.next();
        self.at += usize::from(next.is_some());
        next
    }

    fn one(&mut self, kind: Kind) -> Kind {
        self.next();
        kind
    }

    /// `&&` and `||`, of which one character does.
    fn junction(&mut self) -> Kind {
        let first = self.next();
        if self.chars.peek().copied() == first {
            self.next();
        }
        if first == Some('&') {
            Kind::And
        } else {
            Kind::Or
        }
    }

    fn skip_space(&mut self) {
        self.take(char::is_whitespace);
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(next) = self.chars.next_if(|next| wanted(*next)) {
            self.at += 1;
            taken.push(next);
        }
        taken
    }

    fn quoted(&mut self) -> Result<String, FilterError> {
        let start = self.at;
        self.next();
        let text = self.take(|next| next != '"');
        if self.next().is_none() {
            return Err(wrong(start..self.at, "this quotation is not closed"));
        }
        Ok(text)
    }

    fn word_or_condition(&mut self) -> Result<Kind, FilterError> {
        let start = self.at;
        let word = self.take(|next| !next.is_whitespace() && !"()!=~<>:\"&|".contains(next));
        let field = (start..self.at, word);
        let after_word = (self.chars.clone(), self.at);
        self.skip_space();
        let begin = self.at;
        let Some(operator) = self.operator() else {
            (self.chars, self.at) = after_word;
            return Ok(match field.1.to_lowercase().as_str() {
                "and" => Kind::And,
                "or" => Kind::Or,
                "not" => Kind::Not,
                _ => Kind::Word(field.1),
            });
        };
        let operator = (begin..self.at, operator);
        self.skip_space();
        let begin = self.at;
        let value = match self.chars.peek() {
            Some('"') => self.quoted()?,
            _ => self.take(|next| !next.is_whitespace() && !"()".contains(next)),
        };
        if begin == self.at {
            let end = operator.0.end;
            let said = format!("a value is missing after {}", operator.1.sign());
            return Err(wrong(start..end, said));
        }
        let value = (begin..self.at, value);
        Ok(Kind::Condition {
            field,
            operator,
            value,
        })
    }

    fn operator(&mut self) -> Option<Operator> {
        let rest: String = self.chars.clone().take(2).collect();
        let known = [
            ("!=", Operator::Unequal),
            ("!~", Operator::HasNot),
            (">=", Operator::Compare(Comparison::AtLeast)),
            ("<=", Operator::Compare(Comparison::AtMost)),
            ("==", Operator::Equal),
            ("=", Operator::Equal),
            (":", Operator::Equal),
            ("~", Operator::Has),
            (">", Operator::Compare(Comparison::More)),
            ("<", Operator::Compare(Comparison::Less)),
        ];
        let (sign, operator) = known.iter().find(|(sign, _)| rest.starts_with(sign))?;
        for _ in sign.chars() {
            self.next();
        }
        Some(*operator)
    }
}

impl Operator {
    fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "!=",
            Self::Has => "~",
            Self::HasNot => "!~",
            Self::Compare(Comparison::Less) => "<",
            Self::Compare(Comparison::AtMost) => "<=",
            Self::Compare(Comparison::Equal) => "=",
            Self::Compare(Comparison::AtLeast) => ">=",
            Self::Compare(Comparison::More) => ">",
        }
    }
}

/// `or` binds less than `and`, which needs no word; `not` binds most.
struct Reader<'a> {
    tokens: &'a [Token],
    about: About,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn any(&mut self) -> Result<Rule, FilterError> {
        let mut rules = vec![self.all()?];
        while let Some(or) = self.take(&Kind::Or) {
            if self.is_at_end() {
                return Err(wrong(or.at.clone(), "nothing follows or"));
            }
            rules.push(self.all()?);
        }
        Ok(joined(rules, Rule::Any))
    }

    fn all(&mut self) -> Result<Rule, FilterError> {
        let mut rules = vec![self.single()?];
        loop {
            if let Some(and) = self.take(&Kind::And) {
                if self.is_at_end() {
                    return Err(wrong(and.at.clone(), "nothing follows and"));
                }
            } else if self.is_at_end() || self.is_next(&Kind::Or) {
                return Ok(joined(rules, Rule::All));
            }
            rules.push(self.single()?);
        }
    }

    fn single(&mut self) -> Result<Rule, FilterError> {
        let Some((token, rest)) = self.tokens.split_first() else {
            return Err(wrong(0..0, "something is missing"));
        };
        self.tokens = rest;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(wrong(token.at.clone(), "this is nested too deeply"));
        }
        let at = || token.at.clone();
        let rule = match &token.kind {
            Kind::Open => self.bracket(token)?,
            Kind::Close => return Err(wrong(at(), "there is nothing inside or before")),
            Kind::And => return Err(wrong(at(), "nothing stands before and")),
            Kind::Or => return Err(wrong(at(), "nothing stands before or")),
            Kind::Not if self.is_at_end() => return Err(wrong(at(), "nothing follows not")),
            Kind::Not => Rule::Not(Box::new(self.single()?)),
            Kind::Word(word) => Rule::Test(Test::Contains(word.to_lowercase())),
            Kind::Condition {
                field,
                operator,
                value,
            } => condition(self.about, field, operator, value)?,
        };
        self.depth -= 1;
        Ok(rule)
    }

    fn bracket(&mut self, open: &Token) -> Result<Rule, FilterError> {
        if self.tokens.is_empty() {
            return Err(wrong(open.at.clone(), "this bracket is not closed"));
        }
        let rule = self.any()?;
        match self.take(&Kind::Close) {
            Some(_) => Ok(rule),
            None => Err(wrong(open.at.clone(), "this bracket is not closed")),
        }
    }

    fn take(&mut self, kind: &Kind) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        (first.kind == *kind).then(|| {
            self.tokens = rest;
            first
        })
    }

    fn is_next(&self, kind: &Kind) -> bool {
        self.tokens.first().is_some_and(|next| next.kind == *kind)
    }

    /// Of the text or of the brackets.
    fn is_at_end(&self) -> bool {
        self.tokens.is_empty() || self.is_next(&Kind::Close)
    }
}

fn joined(mut rules: Vec<Rule>, join: fn(Vec<Rule>) -> Rule) -> Rule {
    match rules.len() {
        1 => rules.remove(0),
        _ => join(rules),
    }
}

type Part<T> = (Range<usize>, T);

fn condition(
    about: About,
    (field_at, name): &Part<String>,
    (operator_at, operator): &Part<Operator>,
    (value_at, value): &Part<String>,
) -> Result<Rule, FilterError> {
    let field = Field::named(name, about).map_err(|said| wrong(field_at.clone(), said))?;
    match field {
        Field::Word(word) => {
            let value = value.to_lowercase();
            let operator_is_none = || {
                let said = format!("{name} has = and ~, and != and !~");
                wrong(operator_at.clone(), said)
            };
            Ok(match operator {
                Operator::Equal => Rule::Test(is(about, word, value, value_at)?),
                Operator::Unequal => {
                    Rule::Not(Box::new(Rule::Test(is(about, word, value, value_at)?)))
                }
                Operator::Has => Rule::Test(Test::Has(word, value)),
                Operator::HasNot => Rule::Not(Box::new(Rule::Test(Test::Has(word, value)))),
                Operator::Compare(_) => return Err(operator_is_none()),
            })
        }
        Field::Number(number) => {
            let test = |comparison| compare(number, comparison, value, value_at);
            Ok(match operator {
                Operator::Equal => Rule::Test(test(Comparison::Equal)?),
                Operator::Unequal => Rule::Not(Box::new(Rule::Test(test(Comparison::Equal)?))),
                Operator::Compare(comparison) => Rule::Test(test(*comparison)?),
                Operator::Has | Operator::HasNot => {
                    let said = format!("{name} has <, >, <=, >=, = and !=");
                    return Err(wrong(operator_at.clone(), said));
                }
            })
        }
    }
}

/// Where the field is one of a closed list, the value has to be.
fn is(about: About, word: Word, value: String, at: &Range<usize>) -> Result<Test, FilterError> {
    let Some(values) = word.values(about) else {
        return Ok(Test::Is(word, value));
    };
    if values.contains(&value.as_str()) {
        return Ok(Test::Is(word, value));
    }
    let said = match nearest(&value, values) {
        Some(near) => format!("there is no {value}; did you mean {near}?"),
        None => format!("there is no {value}; there is {}", values.join(", ")),
    };
    Err(wrong(at.clone(), said))
}

fn compare(
    number: Number,
    comparison: Comparison,
    value: &str,
    at: &Range<usize>,
) -> Result<Test, FilterError> {
    let than = number.read(value).map_err(|said| wrong(at.clone(), said))?;
    Ok(Test::Compare(number, comparison, than))
}

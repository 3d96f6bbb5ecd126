//! The parser: operator precedence climbing, with a limit on the height of the tree.

use crate::ast::{Ast, Invocation, MemberName, Operator, TypeOperator, TypeSpecifier};
use crate::evaluate::{Function, Pattern};
use crate::lexer::{Lexer, Token};
use crate::{CalendarUnit, Decimal, Expression, Item, ParseError, Quantity, Unit};

/// Evaluation recurses as deep as the tree is high.
const HEIGHT_MAX: u16 = 96;
const BRACKETS_MAX: u16 = 64;

/// Binding strength of operators, weakest first.
mod strength {
    pub const IMPLIES: u8 = 1;
    pub const OR: u8 = 2;
    pub const AND: u8 = 3;
    pub const MEMBERSHIP: u8 = 4;
    pub const EQUALITY: u8 = 5;
    pub const INEQUALITY: u8 = 6;
    pub const UNION: u8 = 7;
    pub const TYPE: u8 = 8;
    pub const ADDITIVE: u8 = 9;
    pub const MULTIPLICATIVE: u8 = 10;
    pub const SIGN: u8 = 11;
}

/// A tree and how high it is.
struct Tree {
    ast: Ast,
    height: u16,
}

impl Tree {
    fn leaf(ast: Ast) -> Self {
        Self { ast, height: 1 }
    }
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    token: Token<'t>,
    /// Where `token` begins.
    at: usize,
    open: u16,
}

pub(crate) fn parse(text: &str) -> Result<Ast, ParseError> {
    if text.len() > Expression::LENGTH_MAX {
        return Err(ParseError::new("expression too long", Expression::LENGTH_MAX));
    }
    let mut lexer = Lexer::new(text);
    let (token, at) = lexer.next()?;
    let mut parser = Parser { lexer, token, at, open: 0 };
    let tree = parser.expression(0)?;
    match parser.token {
        Token::End => Ok(tree.ast),
        _ => Err(parser.error("unexpected text")),
    }
}

fn infix(token: &Token<'_>) -> Option<(u8, Option<Operator>)> {
    use strength::*;
    let (strength, operator) = match token {
        Token::Symbol(symbol) => match *symbol {
            "*" => (MULTIPLICATIVE, Operator::Multiply),
            "/" => (MULTIPLICATIVE, Operator::Divide),
            "+" => (ADDITIVE, Operator::Add),
            "-" => (ADDITIVE, Operator::Subtract),
            "&" => (ADDITIVE, Operator::Concatenate),
            "|" => (UNION, Operator::Union),
            "<" => (INEQUALITY, Operator::Less),
            "<=" => (INEQUALITY, Operator::LessOrEqual),
            ">" => (INEQUALITY, Operator::Greater),
            ">=" => (INEQUALITY, Operator::GreaterOrEqual),
            "=" => (EQUALITY, Operator::Equal),
            "!=" => (EQUALITY, Operator::NotEqual),
            "~" => (EQUALITY, Operator::Equivalent),
            "!~" => (EQUALITY, Operator::NotEquivalent),
            _ => return None,
        },
        Token::Word(word) => match *word {
            "div" => (MULTIPLICATIVE, Operator::DivideWhole),
            "mod" => (MULTIPLICATIVE, Operator::Modulo),
            "in" => (MEMBERSHIP, Operator::In),
            "contains" => (MEMBERSHIP, Operator::Contains),
            "and" => (AND, Operator::And),
            "or" => (OR, Operator::Or),
            "xor" => (OR, Operator::Xor),
            "implies" => (IMPLIES, Operator::Implies),
            "is" | "as" => return Some((TYPE, None)),
            _ => return None,
        },
        _ => return None,
    };
    Some((strength, Some(operator)))
}

impl<'t> Parser<'t> {
    fn error(&self, message: &str) -> ParseError {
        ParseError::new(message, self.at)
    }

    fn advance(&mut self) -> Result<Token<'t>, ParseError> {
        let (token, at) = self.lexer.next()?;
        self.at = at;
        Ok(std::mem::replace(&mut self.token, token))
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.token, Token::Symbol(found) if found == symbol)
    }

    fn eat(&mut self, symbol: &str) -> Result<bool, ParseError> {
        let found = self.is_symbol(symbol);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, symbol: &str) -> Result<(), ParseError> {
        if self.eat(symbol)? { Ok(()) } else { Err(self.error(&format!("expected `{symbol}`"))) }
    }

    fn raise(&self, height: u16) -> Result<u16, ParseError> {
        if height < HEIGHT_MAX { Ok(height + 1) } else { Err(self.error("expression nested too deeply")) }
    }

    fn expression(&mut self, least: u8) -> Result<Tree, ParseError> {
        self.open += 1;
        if self.open > BRACKETS_MAX {
            return Err(self.error("expression nested too deeply"));
        }
        let mut left = self.prefix()?;
        while let Some((strength, operator)) = infix(&self.token)
            && strength >= least
        {
            let word = self.advance()?;
            left = match operator {
                Some(operator) => {
                    let right = self.expression(strength + 1)?;
                    let height = self.raise(left.height.max(right.height))?;
                    Tree { ast: Ast::Binary(operator, Box::new(left.ast), Box::new(right.ast)), height }
                }
                None => {
                    let operator = if matches!(word, Token::Word("is")) { TypeOperator::Is } else { TypeOperator::As };
                    let specifier = self.type_specifier()?;
                    let height = self.raise(left.height)?;
                    Tree { ast: type_operation(operator, left.ast, specifier), height }
                }
            };
        }
        self.open -= 1;
        Ok(left)
    }

    fn prefix(&mut self) -> Result<Tree, ParseError> {
        let negative = self.is_symbol("-");
        if !negative && !self.is_symbol("+") {
            return self.path();
        }
        self.advance()?;
        let operand = self.expression(strength::SIGN)?;
        let height = self.raise(operand.height)?;
        let operand_ast = Box::new(operand.ast);
        Ok(Tree { ast: if negative { Ast::Negate(operand_ast) } else { Ast::Plus(operand_ast) }, height })
    }

    /// A term and the invocations behind it.
    fn path(&mut self) -> Result<Tree, ParseError> {
        let mut steps = Vec::new();
        let mut height = 1;
        let head = match &self.token {
            Token::Word("true" | "false") => self.term()?,
            Token::Word(_) | Token::Delimited(_) => {
                self.invocation(&mut steps, &mut height, true)?;
                Tree::leaf(Ast::This)
            }
            _ => self.term()?,
        };
        height = height.max(head.height);
        loop {
            if self.eat(".")? {
                self.invocation(&mut steps, &mut height, false)?;
            } else if self.eat("[")? {
                let index = self.expression(0)?;
                self.expect("]")?;
                height = height.max(self.raise(index.height)?);
                steps.push(Invocation::Index(index.ast));
            } else {
                break;
            }
        }
        if steps.is_empty() {
            return Ok(head);
        }
        Ok(Tree { ast: Ast::Path(Box::new(head.ast), steps), height: self.raise(height)? })
    }

    fn term(&mut self) -> Result<Tree, ParseError> {
        let literal = |item| Ok(Tree::leaf(Ast::Literal(item)));
        let at = self.at;
        match self.advance()? {
            Token::Word(word) => literal(Item::Boolean(word == "true")),
            Token::String(text) => literal(Item::String(text.into())),
            Token::Moment(item) => literal(item),
            Token::Number(text) => self.number(text, at),
            Token::Variable(name) => Ok(Tree::leaf(Ast::Variable(name))),
            Token::Special("$this") => Ok(Tree::leaf(Ast::This)),
            Token::Special("$index") => Ok(Tree::leaf(Ast::Index)),
            Token::Special("$total") => Ok(Tree::leaf(Ast::Total)),
            Token::Symbol("(") => {
                let inner = self.expression(0)?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Symbol("{") => {
                self.expect("}")?;
                Ok(Tree::leaf(Ast::Empty))
            }
            _ => Err(ParseError::new("expected a term", at)),
        }
    }

    /// A number, or a quantity where a unit follows.
    fn number(&mut self, text: &str, at: usize) -> Result<Tree, ParseError> {
        let decimal = || Decimal::parse(text).ok_or_else(|| ParseError::new("number too long", at));
        let unit = match &self.token {
            Token::String(code) => Some(Unit::Ucum(code.as_str().into())),
            Token::Word(word) => CalendarUnit::parse(word).map(Unit::Calendar),
            _ => None,
        };
        let item = if let Some(unit) = unit {
            self.advance()?;
            // `1 'month'` is the calendar's month: UCUM has no such code.
            let unit = match unit {
                Unit::Ucum(code) => CalendarUnit::parse(&code).map_or(Unit::Ucum(code), Unit::Calendar),
                calendar => calendar,
            };
            Item::Quantity(Box::new(Quantity { value: decimal()?, unit }))
        } else if text.contains('.') {
            Item::Decimal(decimal()?)
        } else {
            // Beyond 32 bits there is no Integer; a Decimal holds the value.
            match text.parse() {
                Ok(integer) => Item::Integer(integer),
                Err(_) => Item::Decimal(decimal()?),
            }
        };
        Ok(Tree::leaf(Ast::Literal(item)))
    }

    fn identifier(&mut self) -> Result<String, ParseError> {
        let at = self.at;
        match self.advance()? {
            Token::Word(word) => Ok(word.to_owned()),
            Token::Delimited(name) => Ok(name),
            _ => Err(ParseError::new("expected a name", at)),
        }
    }

    fn type_specifier(&mut self) -> Result<TypeSpecifier, ParseError> {
        let first = self.identifier()?;
        if (first == "System" || first == "FHIR") && self.eat(".")? {
            return Ok(TypeSpecifier { namespace: Some(first), name: self.identifier()? });
        }
        Ok(TypeSpecifier { namespace: None, name: first })
    }

    /// A name, or a function with its arguments.
    fn invocation(&mut self, steps: &mut Vec<Invocation>, height: &mut u16, is_head: bool) -> Result<(), ParseError> {
        let at = self.at;
        if let Token::Special(name @ ("$this" | "$index" | "$total")) = self.token {
            return Err(self.error(&format!("`{name}` stands only at the beginning of a path")));
        }
        let name = self.identifier()?;
        if !self.eat("(")? {
            let sibling = format!("_{name}");
            steps.push(Invocation::Member(MemberName { name, sibling, is_head }));
            return Ok(());
        }
        let operator = match name.as_str() {
            "is" => Some(TypeOperator::Is),
            "as" => Some(TypeOperator::As),
            "ofType" => Some(TypeOperator::OfType),
            _ => None,
        };
        if let Some(operator) = operator {
            let specifier = self.type_specifier()?;
            self.expect(")")?;
            push_type_operation(steps, operator, specifier);
            return Ok(());
        }
        let mut arguments = Vec::new();
        if !self.is_symbol(")") {
            loop {
                let argument = self.expression(0)?;
                *height = (*height).max(self.raise(argument.height)?);
                arguments.push(argument.ast);
                if !self.eat(",")? {
                    break;
                }
            }
        }
        self.expect(")")?;
        let unknown = || ParseError::new(format!("unknown function `{name}`"), at);
        let (function, counts) = Function::parse(&name).ok_or_else(unknown)?;
        if !counts.contains(&arguments.len()) {
            return Err(ParseError::new(format!("wrong number of arguments of `{name}`"), at));
        }
        let pattern = match arguments.first() {
            Some(Ast::Literal(Item::String(pattern))) => Pattern::compile(function, pattern),
            _ => None,
        };
        steps.push(match pattern {
            Some(Ok(pattern)) => Invocation::Matches(pattern),
            Some(Err(_)) => return Err(ParseError::new("invalid regular expression", at)),
            None => Invocation::Call(function, arguments),
        });
        Ok(())
    }
}

/// `resolve() is Patient` becomes one invocation, which needs no look-up in most cases.
fn push_type_operation(steps: &mut Vec<Invocation>, operator: TypeOperator, specifier: TypeSpecifier) {
    if operator == TypeOperator::Is && matches!(steps.last(), Some(Invocation::Call(Function::Resolve, _))) {
        steps.pop();
        steps.push(Invocation::ResolvesTo(specifier));
    } else {
        steps.push(Invocation::Type(operator, specifier));
    }
}

fn type_operation(operator: TypeOperator, operand: Ast, specifier: TypeSpecifier) -> Ast {
    match operand {
        Ast::Path(head, mut steps)
            if operator == TypeOperator::Is && matches!(steps.last(), Some(Invocation::Call(Function::Resolve, _))) =>
        {
            push_type_operation(&mut steps, operator, specifier);
            Ast::Path(head, steps)
        }
        operand => Ast::Type(operator, Box::new(operand), specifier),
    }
}

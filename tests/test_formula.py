"""The splitter: what is taken out of a formula, what stays, and what is refused before anything is evaluated."""

import pytest

from glimm.data.formula import functions_in, split, variables_in
from glimm.data.terms import parse_terms, plain_factor
from glimm.data.text import blank, depths, pieces, plain_name, split_at, unwrap
from glimm.errors import GlimmError


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("y ~ x", "x"),
        ("y ~ 1", "1"),
        ("y ~ 0", "0"),
        ("y ~ (1 | g)", "1"),
        ("y ~ x + (1 | g)", "x"),
        ("y ~ (1 | g) + x", "x"),
        ("y ~ 0 + x + (1 | g)", "0 + x"),
        ("y ~ x - 1 + (1|g)", "x - 1"),
        ("y ~ -1 + x", "- 1 + x"),
        ("y ~ a*b + offset(log(t))", "a*b"),
        ("y ~ offset(z)", "1"),
        ("y ~ a + (x + (1 | g))", "a + x"),
        ("y ~ (a + b)**2 + (1 | g)", "(a + b)**2"),
        ("y ~ (a + b)^2", "(a + b)^2"),
        ("y ~ `a|b` + x", "`a|b` + x"),
        ("y ~ `a + (1 | g)`", "`a + (1 | g)`"),
        ("y ~ I(x | z)", "I(x | z)"),
        ("y ~ C(f, levels=['a|b', 'c~d'])", "C(f, levels=['a|b', 'c~d'])"),
        ("y ~ cs(x, df=3)", "cs(x, df=3)"),
        ("y ~ a %in% b", "a %in% b"),
        ("y ~ {x + z} + w", "{x + z} + w"),
        ("y ~ f[0] + x", "f[0] + x"),
        ("y ~ a\n + b", "a + b"),
    ],
)
def test_fixed_part(text, fixed):
    assert split(text).fixed == fixed


@pytest.mark.parametrize(
    ("term", "structure", "expression", "group", "correlated"),
    [
        ("(1 | g)", "us", "1", "g", True),
        ("(1|g)", "us", "1", "g", True),
        ("((1 | g))", "us", "1", "g", True),
        ("(1 + x | g)", "us", "1 + x", "g", True),
        ("(x || g)", "us", "x", "g", False),
        ("(1 | a:b)", "us", "1", "a:b", True),
        ("(0 + f | g)", "us", "0 + f", "g", True),
        ("(1 | `my group`)", "us", "1", "`my group`", True),
        ("(1 | `a|b`)", "us", "1", "`a|b`", True),
        ("us(1 + x | g)", "us", "1 + x", "g", True),
        ("diag(1 + x | g)", "diag", "1 + x", "g", True),
        ("cs(1 + x | g)", "cs", "1 + x", "g", True),
        ("homcs(0 + f | g)", "homcs", "0 + f", "g", True),
        ("toep(0 + f | g)", "toep", "0 + f", "g", True),
        ("ar1(0 + C(visit) | id)", "ar1", "0 + C(visit)", "id", True),
        ("ar1(t | id)", "ar1", "t", "id", True),
        ("ou(0 + t | id)", "ou", "0 + t", "id", True),
        ("(I(x | z) | g)", "us", "I(x | z)", "g", True),
    ],
)
def test_bars(term, structure, expression, group, correlated):
    (bar,) = split(f"y ~ x + {term}").bars
    assert (bar.structure, bar.expression, bar.group, bar.correlated) == (structure, expression, group, correlated)


def test_several_bars_and_offsets():
    formula = split("y ~ x + (1 | a) + offset(log(t)) + (1 + x | b) + offset(`my o`)")
    assert [bar.group for bar in formula.bars] == ["a", "b"]
    assert formula.offsets == ("log(t)", "`my o`")
    assert formula.fixed == "x"


@pytest.mark.parametrize(
    ("left", "parts"),
    [
        ("y", (None, None, None)),
        ("log(y)", (None, None, None)),
        ("I(a / b)", (None, None, None)),
        ("I(y == 2)", (None, None, None)),
        ("y == 'a/b'", (None, None, None)),
        ("`a/b`", (None, None, None)),
        ("s / n", ("s", "n", None)),
        ("`my s` / n", ("`my s`", "n", None)),
        ("s / (a + b)", ("s", "(a + b)", None)),
        ("cbind(s, f)", ("s", None, "f")),
        ("cbind(s, n - s)", ("s", None, "n - s")),
    ],
)
def test_left_side(left, parts):
    formula = split(f"{left} ~ x")
    assert formula.response == left
    assert (formula.successes, formula.trials, formula.failures) == parts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("y x", "has no '~'"),
        ("y = x", r"has no '~' \(not '='\)"),
        ("~ x", "has no response"),
        ("y ~", "nothing after '~'"),
        ("y ~ x ~ z", "has 2 '~'"),
        ("y ~ (x", "unbalanced"),
        ("y ~ x)", "unbalanced"),
        ("y ~ I(x]", "unbalanced"),
        ("y ~ 'a", "unbalanced '"),
        ("y ~ `a", "unbalanced `"),
        ("y ~ I(x^2)", r"write I\(x\*\*2\)"),
        ("y ~ z + I((x + 1)^2)", r"write I\(\(x \+ 1\)\*\*2\)"),
        ("y ~ {x^2}", r"write \{x\*\*2\}"),
        ("I(y^2) ~ x", r"write I\(y\*\*2\)"),
        ("y^2 ~ x", r"write y\*\*2"),
        ("y ~ factor(x)", r"write C\(x\)"),
        ("y ~ a:as.factor(x)", r"write C\(x\)"),
        ("y ~ ordered(x, levels=3)", r"write C\(x\)"),
        ("y ~ 1 | g", r"write \(1 \| g\)"),
        ("y ~ x + 1 | g", "needs parentheses"),
        ("y ~ x * (1 | g)", "part of an interaction"),
        ("y ~ (1 | g):x", "part of an interaction"),
        ("y ~ x:ar1(t | g)", "part of an interaction"),
        ("y ~ log((1 | g))", "part of an interaction"),
        ("y ~ x - (1 | g)", "cannot be subtracted"),
        ("y ~ x - (z + (1 | g))", "cannot be subtracted"),
        ("y ~ (1 | a | b)", "more than one bar"),
        ("y ~ (1 ||| b)", "more than one bar"),
        ("y ~ ( | g)", "incomplete"),
        ("y ~ (1 | )", "incomplete"),
        ("y ~ x - offset(z)", r"write \+ offset\(-\(z\)\)"),
        ("y ~ x * offset(z)", "offset.*cannot be part"),
        ("y ~ offset()", "empty"),
        ("y ~ .", "name the columns"),
        ("y ~ x +", r"'x \+' ends with '\+'"),
        ("y ~ x + (1 | g) -", "ends with '-'"),
        ("y ~ x > 3", r"write I\(x > 3\)"),
        ("y ~ z + f == 'a'", r"write I\(f == 'a'\)"),
        ("y ~ x, z", r"'x, z' is not a term"),
        ("y ~ . - x", "name the columns"),
        ("a / b / c ~ x", "not clear"),
        ("cbind(a) ~ x", "two columns"),
        ("cbind(a, b, c) ~ x", "two columns"),
        ("cbind(a, ) ~ x", "two columns"),
        (3, "must be a string"),
        ("", "has no '~'"),
    ],
)
def test_refused_before_evaluation(text, words):
    with pytest.raises(GlimmError, match=words):
        split(text)


def test_dots_in_names_and_numbers_are_not_dots():
    assert split("Sepal.Length ~ Petal.Width + bs(x, df=4, lower_bound=.5) + np.log(z)").response == "Sepal.Length"


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("x", ("x",)),
        ("`odd name`", ("odd name",)),
        ("Sepal.Length", ("Sepal.Length",)),
        ("log(x)", ("x",)),
        ("np.log(x) + z", ("x", "z")),
        ("C(f, contr.treatment('b'))", ("f",)),
        ("C(f, Treatment('b'))", ("f",)),
        ("C(f, Sum)", ("f",)),
        ("np.where(`a b` > 0, y, C(z))", ("a b", "y", "z")),
        ("x.clip(0, 1)", ("x",)),
        ("I(use == 'Y')", ("use",)),
        ('I(use == "`Y`")', ("use",)),
        ("x + x", ("x",)),
        ("Q('my x')", ("my x",)),
        ("bs(x, df=4, degree=d)", ("x", "d")),
        ("sum(v for v in x)", ("x",)),
        ("(lambda v: v + w)(x)", ("w", "x")),
        ("x.astype(float)", ("x",)),
        ("1 + 2", ()),
    ],
)
def test_variables_in(expression, names):
    assert variables_in(expression) == names


def test_functions_in():
    assert functions_in("foo(log(x)) + np.exp(y) + x.clip(0)") == ("foo", "log")
    assert functions_in("x") == ()


@pytest.mark.parametrize("expression", ["log(x", "x +* y", "log(x y)"])
def test_unreadable_expressions(expression):
    with pytest.raises(GlimmError, match="cannot read"):
        variables_in(expression)


def test_text_helpers():
    assert blank("a('b\\'c') + `d`") == "a('qqqq') + `q`"
    assert depths("a(b)[c]") == [0, 0, 1, 0, 0, 1, 0]
    assert split_at("a, 'b,c', f(d, e)", ",") == [("", "a"), (",", " 'b,c'"), (",", " f(d, e)")]
    assert pieces("- a + + b - - c") == [("-", "a"), ("+", "b"), ("+", "c")]
    assert unwrap("f(a)(b)") is None
    assert unwrap("f (a)") == ("f", "a")
    assert plain_name("1x") is None
    assert plain_name("True") is None
    assert plain_name("`a` + `b`") is None
    assert plain_factor("C(`odd name`)") == "odd name"


@pytest.mark.parametrize("fixed", ["a ** b", "'a'", "2", "a:'b'", "* a", "a %foo% b"])
def test_parse_errors_name_the_text(fixed):
    with pytest.raises(GlimmError, match="cannot read"):
        parse_terms(fixed)


@pytest.mark.parametrize(
    ("term", "words"),
    [
        ("ar(0 + C(t) | g)", "unknown covariance structure 'ar' in .*: did you mean 'ar1'"),
        ("AR1(0 + C(t) | g)", "did you mean 'ar1'"),
        ("un(1 + t | g)", "did you mean 'us'"),
        ("gau(0 + t | g)", "unknown covariance structure 'gau' in .*have: us, diag"),
    ],
)
def test_misspelt_structures(term, words):
    with pytest.raises(GlimmError, match=words):
        split(f"y ~ x + {term}")
    assert split("y ~ I(a | b) + np.where((a > 0) | b, 1, 2) + (1 | g)").bars[0].group == "g"

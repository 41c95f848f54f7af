"""glimm.advise on data sets whose right answer is known: the model, the call, the reason."""

from __future__ import annotations

import json
import warnings

import pytest

import glimm
from support_advise import (
    autoregressive,
    codes,
    crossed,
    dropping_out,
    dropping_out_at_random,
    exchangeable,
    few,
    independent,
    informative_size,
    nested,
    overdispersed_counts,
    own_cluster,
    poisson_counts,
    randomised_clusters,
    slopes,
    two_effects,
)
from test_html import Reader, flat

RANDOM = "(1 | g)"
TRUTH = {
    # name: data, formula, arguments, individual (model, in the call), population (model, in the call), reasons, doubts
    "ohio": (
        lambda: glimm.load_dataset("ohio"), "resp ~ age * smoke", {"groups": "id", "time": "age"},
        ("glmm", "(1 | id)"), ("gee", 'groups="id", family="binomial")'),
        {"family_binomial", "dependence", "within", "cluster_level", "random_intercept", "averages", "exchangeable", "robust_errors"},
        set(),
    ),
    "sleepstudy": (
        slopes, "Reaction ~ Days", {"groups": "Subject", "time": "Days"},
        ("glmm", "(1 + Days | Subject)"), ("gee", 'groups="Subject"'), {"random_slope", "family_gaussian"}, {"few_clusters"},
    ),
    "exchangeable": (
        exchangeable, "y ~ x", {"groups": "g", "time": "t"},
        ("glmm", RANDOM), ("gee", 'groups="g")'), {"random_intercept", "exchangeable", "within", "averages"}, set(),
    ),
    "autoregressive": (
        autoregressive, "y ~ x", {"groups": "g", "time": "t"},
        ("glmm", RANDOM), ("gee", 'time="t", corr="ar1"'), {"ar1", "random_intercept"}, {"serial_correlation"},
    ),
    "independent rows": (
        independent, "y ~ x + z", {}, ("glm", "glimm.glm("), ("glm", "glimm.glm("), {"no_groups", "family_gaussian"}, set(),
    ),
    "each row its own cluster": (
        own_cluster, "y ~ x", {"groups": "row"}, ("glm", "glimm.glm("), ("glm", "glimm.glm("), {"row_per_cluster"}, set(),
    ),
    "few clusters": (few, "y ~ x", {"groups": "g"}, ("glmm", RANDOM), ("gee", 'groups="g"'), {"exchangeable", "within"}, {"few_clusters"}),
    "randomised clusters": (
        randomised_clusters, "y ~ trt", {"groups": "g"}, ("glmm", RANDOM), ("gee", 'groups="g"'),
        {"cluster_level", "clusters_are_the_sample"}, {"cluster_level_only"},
    ),
    "informative size": (
        informative_size, "y ~ x", {"groups": "g"}, ("glmm", RANDOM), ("gee", 'corr="independence"'),
        {"independence_for_size"}, {"informative_cluster_size"},
    ),
    "dropout": (
        dropping_out, "y ~ t", {"groups": "g", "time": "t"}, ("glmm", RANDOM), ("glmm", RANDOM),
        {"dropout_depends_on_response"}, {"dropout_depends_on_response"},
    ),
    "dropout at random": (
        dropping_out_at_random, "y ~ t", {"groups": "g", "time": "t"}, ("glmm", RANDOM), ("gee", 'groups="g")'), {"exchangeable"}, set(),
    ),
    "overdispersed counts": (
        overdispersed_counts, "y ~ x", {"groups": "g"}, ("glmm", 'family="negative_binomial"'), ("gee", 'family="poisson"'),
        {"family_negative_binomial"}, set(),
    ),
    "counts": (
        poisson_counts, "y ~ x", {"groups": "g"}, ("glmm", 'family="poisson"'), ("gee", 'family="poisson"'), {"family_counts"}, set(),
    ),
    "crossed": (
        crossed, "y ~ x", {"groups": ["pupil", "item"]}, ("glmm", "(1 | item) + (1 | pupil)"),
        ("glm", 'vcov={"cluster": ["item", "pupil"]}'), {"crossed", "two_way_clusters"}, set(),
    ),
    "nested": (
        nested, "y ~ x", {"groups": ["room", "school"]}, ("glmm", "(1 | school) + (1 | room)"), ("gee", 'groups="school"'),
        {"nested", "outermost_clusters"}, set(),
    ),
    "two effects": (two_effects, "y ~ x", {"groups": "g"}, ("glmm", RANDOM), ("gee", 'groups="g"'), {"within"}, {"between_within"}),
}  # fmt: skip


@pytest.fixture(scope="module", params=TRUTH)
def case(request):
    make, formula, more, *expected = TRUTH[request.param]
    data = make()
    return data, formula, more, glimm.advise(formula, data, **more), expected


def one_line(call):
    return " ".join(call.replace("(\n", "(").replace(",\n)", ")").split())


def test_the_model_and_the_reason(case):
    data, formula, more, advice, (individual, population, reasons, doubts) = case
    for question, (model, written) in (("individual", individual), ("population", population)):
        alone = glimm.advise(formula, data, question=question, **more)
        assert alone.model == model
        assert written in one_line(alone.call)
        assert alone.call == advice.calls[question]
        assert list(alone.calls) == [question]
    assert advice.model == (individual[0] if individual[0] == population[0] else None)
    assert reasons <= codes(advice.reasons)
    assert codes(advice.doubts) - {"few_clusters"} == doubts - {"few_clusters"}
    assert doubts <= codes(advice.doubts)


def test_the_calls_run_and_converge(case):
    data, _, _, advice, _ = case
    with warnings.catch_warnings():
        warnings.simplefilter("error", glimm.GlimmWarning)
        for call in advice.calls.values():
            assert eval(call, {"glimm": glimm, "data": data}).record.solution.code == "converged"
        for answer in advice.answers:
            if answer.then:
                assert len(eval(answer.then, {"fit": eval(answer.call, {"glimm": glimm, "data": data})})) == advice.facts.p
    names = {"glimm": glimm, "data": data}
    exec(advice.call, names)
    assert len(advice.answers) == 1 or {"individual", "population"} <= set(names)


def test_every_statement_has_a_number_in_its_sentence_and_in_its_evidence(case):
    advice = case[3]
    for statement in (*advice.reasons, *advice.missing, *advice.doubts):
        assert any(letter.isdigit() for letter in statement.text), statement.code
        assert statement.evidence, statement.code
        assert all(value == value for value in statement.evidence.values()), statement
        assert str(statement) == statement.text


def test_text_and_html_say_the_same(case):
    advice = case[3]
    assert flat("".join(Reader(advice._repr_html_()).words)) == flat(str(advice).replace("\n- ", "\n"))
    assert max(map(len, str(advice).splitlines())) <= 110
    assert repr(advice) == str(advice)


def test_json_numbers_are_plain(case):
    from glimm.advice.say import plain_advice

    said = json.loads(json.dumps(plain_advice(case[3]), allow_nan=False, default=float))
    assert said["calls"] == case[3].calls

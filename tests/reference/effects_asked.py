"""What effects.py asks of each fit: words only, no numbers. q answers one question, contrasts are (high, low) or values of means."""

EVERY = ("difference", "ratio", "lnratio", "lnor", "oddsratio")


def questions(name, q):
    """Answers of q(what, variable, contrasts, comparison, rows=, by=, weights=), in order."""
    if name in ("ohio", "ohio_cluster", "ohio_probit"):
        out = [q("comparisons", "smoke", [(1, 0)], c) for c in EVERY]
        out += [q("comparisons", "smoke", [(1, 0)], c, by="age") for c in ("difference", "lnor")]
        out += [q("comparisons", "smoke", [(1, 0)], c, rows={"smoke": 1}) for c in EVERY]
        out += [q("comparisons", "age", [(h, "x")], "difference") for h in ("+1", "centred", "+sd")]
        out += [q("comparisons", "age", [(1, -2)], c, by=by) for c, by in (("difference", None), ("ratio", "smoke"))]
        out += [q("slopes", "age"), q("slopes", "age", by="smoke"), q("slopes", "age", rows={"smoke": 1})]
        out += [q("means"), q("means", by="smoke"), q("means", "smoke", [0, 1]), q("means", "smoke", [0, 1], rows={"smoke": 1})]
        return [*out, q("means", "age", [-2, 0, 1], by="smoke")]
    if name == "contraception":
        levels = ["0", "1", "2", "3+"]
        reference, pairs = [(b, "0") for b in levels[1:]], [(b, a) for i, a in enumerate(levels) for b in levels[i + 1 :]]
        out = [q("comparisons", "livch", reference, c) for c in EVERY]
        out += [q("comparisons", "livch", pairs, "difference"), q("comparisons", "livch", reference, "difference", by="urban")]
        out += [q("comparisons", "urban", [("Y", "N")], c, rows=r) for c in ("difference", "lnor") for r in (None, {"urban": "Y"})]
        out += [q("comparisons", "age", [(h, "x")], c) for h in ("+1", "+sd") for c in ("difference", "lnratio")]
        out += [q("slopes", "age"), q("slopes", "age", by="urban"), q("slopes", "age", by="livch")]
        return [*out, q("means", "livch", levels), q("means", by="livch"), q("means", "urban", ["N", "Y"], by="livch")]
    if name == "epil":
        out = [q("comparisons", "trt", [("progabide", "placebo")], c) for c in ("difference", "ratio", "lnratio")]
        out += [q("comparisons", "trt", [("progabide", "placebo")], "difference", rows={"trt": "progabide"})]
        out += [q("comparisons", "base", [(h, "x")], c, by=by) for h in ("+1", "+sd") for c, by in (("difference", None), ("ratio", "trt"))]
        out += [q("comparisons", "base", [(40, 20)], "ratio"), q("slopes", "base"), q("slopes", "base", by="trt"), q("slopes", "age")]
        return [*out, q("means"), q("means", "trt", ["placebo", "progabide"]), q("means", by="period")]
    if name in ("seizure", "glmm_seizure_post_5"):
        out = [q("comparisons", "trt", [(1, 0)], c) for c in ("difference", "ratio", "lnratio")]
        out += [q("comparisons", "trt", [(1, 0)], c, by="post") for c in ("difference", "lnratio")]
        out += [q("comparisons", "trt", [(1, 0)], "difference", rows={"trt": 1}), q("comparisons", "post", [(1, 0)], "ratio", by="trt")]
        out += [q("slopes", "age")] if name == "seizure" else []
        return [*out, q("means"), q("means", "trt", [0, 1]), q("means", by="post")]
    if name in ("cake", "cake_hc3"):
        out = [q("comparisons", "recipe", [("B", "A"), ("C", "A")], "difference")]
        out += [q("comparisons", "recipe", [("B", "A"), ("C", "A"), ("C", "B")], "difference", by="temp")]
        out += [q("comparisons", "temp", [(h, "x")], "difference", by="recipe") for h in ("+1", "+sd")]
        out += [q("comparisons", "temp", [(225, 175)], c) for c in ("difference", "ratio")]
        out += [q("slopes", "temp"), q("slopes", "temp", by="recipe"), q("means", "recipe", ["A", "B", "C"])]
        return [*out, q("means", by="recipe")]
    if name == "sleep":
        out = [q("comparisons", "Days", [("+1", "x")], c) for c in ("difference", "ratio")]
        return [*out, q("slopes", "Days"), q("means"), q("means", "Days", [0, 9])]
    if name == "cbpp":
        pairs = [("2", "1"), ("3", "1"), ("4", "1")]
        out = [q("comparisons", "period", pairs, c, weights=w) for c in ("difference", "ratio") for w in (None, "size")]
        return [*out, q("means", weights="size"), q("means", "period", ["1", "2", "3", "4"], weights="size"), q("means")]
    if name.startswith("glmm_contra"):
        out = [q("comparisons", "urban", [("Y", "N")], c) for c in EVERY]
        out += [q("comparisons", "urban", [("Y", "N")], "difference", by="livch"), q("comparisons", "livch", [("3+", "0")], "lnor")]
        out += [q("comparisons", "age", [(h, "x")], "difference") for h in ("+1", "+sd")] + [
            q("slopes", "age"),
            q("slopes", "age", by="urban"),
        ]
        return [*out, q("means", "urban", ["N", "Y"]), q("means", by="urban")]
    out = [q("comparisons", "smoke", [(1, 0)], c) for c in EVERY]
    out += [
        q("comparisons", "smoke", [(1, 0)], "difference", rows={"smoke": 1}),
        q("comparisons", "smoke", [(1, 0)], "difference", by="age"),
    ]
    out += [q("comparisons", "age", [("+1", "x")], "difference"), q("slopes", "age"), q("slopes", "age", by="smoke")]
    return [*out, q("means"), q("means", by="smoke"), q("means", "smoke", [0, 1])]

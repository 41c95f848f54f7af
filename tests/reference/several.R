# Mixed models with several random terms, independent of glimm: lme4 for linear models, glmmTMB (Laplace) for the others.
#
# How to run: install R with lme4, glmmTMB and jsonlite (Debian: r-base-core r-cran-lme4 r-cran-glmmtmb r-cran-jsonlite), then here:
#   Rscript several.R data .             every entry; writes several.json
#   Rscript several.R data . lmm_cross   only the entries whose id matches; the others are kept
# data: the folder with the csv files (sim_several.csv is made by sim_several.py). fitting.R says how a fit is found and what is stored.
# An entry has the terms in the order of its formula: group, effects, sd, corr (null where a variance is zero), cov (LMM: sigma^2 T T').
# se: LMM = conditional on theta. GLMM: joint Hessian; log_sd_se = standard error of log sd; ranef = conditional modes, for small terms.
args <- commandArgs(TRUE); ddir <- args[1]; out <- args[2]; part <- if (length(args) > 2) args[3] else "."
source("fitting.R"); rd <- function(n) read_data(ddir, n); sim <- rd("sim_several"); des <- function(n) droplevels(sim[sim$design == n, ])

# ---------------------------------------------------------------- public data, linear
pa <- rd("lme4_Pastes"); pe <- rd("lme4_Penicillin"); ca <- rd("lme4_cake"); ss <- rd("lme4_sleepstudy"); cb <- rd("lme4_cbpp"); cb$fperiod <- factor(cb$period); cb$obs <- seq_len(nrow(cb))
gt <- rd("lme4_grouseticks"); gt$fyear <- factor(gt$YEAR); ep <- rd("MASS_epil"); ep$trt <- relevel(ep$trt, "placebo"); ep$obs <- seq_len(nrow(ep)); ar <- rd("lme4_Arabidopsis"); ar$amd <- relevel(ar$amd, "clipped"); ar$fnut <- factor(ar$nutrient); ar$frack <- factor(ar$rack)
co <- rd("mlmRev_Contraception"); nested <- list(term("batch"), term("batch:cask"))
for (r in c(FALSE, TRUE)) { s <- if (r) "_reml" else "_ml"
  lmm(paste0("lmm_pastes_nested", s), "strength ~ 1 + (1 | batch/cask)", "lme4_Pastes", "strength ~ 1", pa, nested, r)
  lmm(paste0("lmm_pastes_sample", s), "strength ~ 1 + (1 | batch) + (1 | sample)", "lme4_Pastes", "strength ~ 1", pa, list(term("batch"), term("sample")), r)
  lmm(paste0("lmm_penicillin", s), "diameter ~ 1 + (1 | plate) + (1 | sample)", "lme4_Penicillin", "diameter ~ 1", pe, list(term("plate"), term("sample")), r)
  lmm(paste0("lmm_cake", s), "angle ~ C(recipe) * temp + (1 | recipe:replicate)", "lme4_cake", "angle ~ recipe * temp", ca, list(term("recipe:replicate")), r)
  lmm(paste0("lmm_cake_slope", s), "angle ~ C(recipe) + temp + (1 | replicate) + (1 | recipe:replicate) + (0 + I((temp - 200) / 10) | replicate)", "lme4_cake", "angle ~ recipe + temp", ca,
    list(term("replicate"), term("recipe:replicate"), term("replicate", ~ 0 + I((temp - 200) / 10), names = "I((temp - 200) / 10)")), r)
  lmm(paste0("lmm_sleep_two_terms", s), "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", "lme4_sleepstudy", "Reaction ~ Days", ss, list(term("Subject"), term("Subject", ~ 0 + Days)), r)
  lmm(paste0("lmm_sleep_days", s), "Reaction ~ Days + (Days | Subject) + (1 | Days)", "lme4_sleepstudy", "Reaction ~ Days", ss, list(term("Subject", ~ Days), term("Days")), r)
  lmm(paste0("lmm_contra_age", s), "age ~ urban + (1 + urban | district) + (1 | livch)", "mlmRev_Contraception", "age ~ urban", co, list(term("district", ~ urban), term("livch")), r)
  # ---------------------------------------------------------------- simulated, linear
  ne <- des("nest"); cr <- des("cross"); od <- des("odd"); v <- "sim_several"
  lmm(paste0("lmm_nest_ab", s), "y ~ x + (1 | a/b)", v, "y ~ x", ne, list(term("a"), term("a:b")), r, design = "nest")
  lmm(paste0("lmm_nest_abc", s), "y ~ x + (1 | a/b/c)", v, "y ~ x", ne, list(term("a"), term("a:b"), term("a:b:c")), r, design = "nest")
  lmm(paste0("lmm_nest_weights", s), "y ~ x + (1 | a/b/c)", v, "y ~ x", ne, list(term("a"), term("a:b"), term("a:b:c")), r, w = ne$w, design = "nest", weights = "w")
  lmm(paste0("lmm_nest_slopes", s), "y ~ x + (1 + x | a/b)", v, "y ~ x", ne, list(term("a", ~ x), term("a:b", ~ x)), r, design = "nest")
  lmm(paste0("lmm_nest_offset", s), "y ~ x + (1 | a) + (0 + x | a:b)", v, "y ~ x", ne, list(term("a"), term("a:b", ~ 0 + x)), r, o = 2 * ne$w, design = "nest", offset = "2 * w")
  lmm(paste0("lmm_cross", s), "y ~ x + (1 | a) + (1 | b)", v, "y ~ x", cr, list(term("a"), term("b")), r, design = "cross")
  lmm(paste0("lmm_cross_three", s), "y ~ x + (1 | a) + (1 | b) + (1 | c)", v, "y ~ x", cr, list(term("a"), term("b"), term("c")), r, design = "cross")
  lmm(paste0("lmm_cross_cells", s), "y ~ x + (1 | a) + (1 | b) + (1 | a:b)", v, "y ~ x", cr, list(term("a"), term("b"), term("a:b")), r, design = "cross")
  lmm(paste0("lmm_cross_slopes", s), "y ~ x + (1 + x | a) + (1 + x | b)", v, "y ~ x", cr, list(term("a", ~ x), term("b", ~ x)), r, design = "cross")
  lmm(paste0("lmm_cross_slopes_weights", s), "y ~ x + (1 + x | a) + (1 | b)", v, "y ~ x", cr, list(term("a", ~ x), term("b")), r, w = cr$w, design = "cross", weights = "w")
  lmm(paste0("lmm_cross_diag", s), "y ~ x + (1 + x || a) + (1 + x || b)", v, "y ~ x", cr, list(term("a", ~ x, "diag"), term("b", ~ x, "diag")), r, design = "cross")
  lmm(paste0("lmm_cross_scalar_vector", s), "y ~ x + (1 | a) + (1 + x | b) + (1 | a:b)", v, "y ~ x", cr, list(term("a"), term("b", ~ x), term("a:b")), r, design = "cross")
  lmm(paste0("lmm_cross_same_factor", s), "y ~ x + (1 | a) + (0 + x | a) + (1 | b)", v, "y ~ x", cr, list(term("a"), term("a", ~ 0 + x), term("b")), r, design = "cross")
  lmm(paste0("lmm_odd_two_levels", s), "y ~ x + (1 | a) + (1 | b)", v, "y ~ x", od, list(term("a"), term("b")), r, design = "odd")
  lmm(paste0("lmm_odd_zero", s), "y ~ x + (1 | a) + (1 | b) + (1 | c)", v, "y ~ x", od, list(term("a"), term("b"), term("c")), r, design = "odd")
  lmm(paste0("lmm_odd_rank_one", s), "y ~ x + (1 + x | b) + (1 | c)", v, "y ~ x", od, list(term("b", ~ x), term("c")), r, design = "odd")
  lmm(paste0("lmm_odd_slopes", s), "y ~ x + (1 + x | b) + (1 + x | c)", v, "y ~ x", od, list(term("b", ~ x), term("c", ~ x)), r, design = "odd")
}

# ---------------------------------------------------------------- GLMM
ticks <- "TICKS ~ C(YEAR) + cHEIGHT"; tf <- "TICKS ~ fyear + cHEIGHT"; three <- list(term("BROOD"), term("INDEX"), term("LOCATION"))
glmm("glmm_ticks_three", paste(ticks, "+ (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)"), "lme4_grouseticks", "poisson", "log", poisson(), tf, gt, three, glmer = TRUE)
glmm("glmm_ticks_two", paste(ticks, "+ (1 | BROOD) + (1 | LOCATION)"), "lme4_grouseticks", "poisson", "log", poisson(), tf, gt, list(term("BROOD"), term("LOCATION")), glmer = TRUE)
glmm("glmm_ticks_nb2_two", paste(ticks, "+ (1 | BROOD) + (1 | LOCATION)"), "lme4_grouseticks", "negative_binomial", "log", nbinom2(), tf, gt, list(term("BROOD"), term("LOCATION")))
glmm("glmm_ticks_nb2_three", paste(ticks, "+ (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)"), "lme4_grouseticks", "negative_binomial", "log", nbinom2(), tf, gt, three)
glmm("glmm_cbpp_rows", "incidence / size ~ C(period) + (1 | herd) + (1 | obs)", "lme4_cbpp", "binomial", "logit", binomial(), "cbind(incidence, size - incidence) ~ fperiod", cb, list(term("herd"), term("obs")), glmer = TRUE)
glmm("glmm_cbpp_periods", "incidence / size ~ 1 + (1 | herd) + (1 | period)", "lme4_cbpp", "binomial", "logit", binomial(), "cbind(incidence, size - incidence) ~ 1", cb, list(term("herd"), term("period")), glmer = TRUE)
glmm("glmm_epil_rows", "y ~ lbase * C(trt) + lage + V4 + (1 | subject) + (1 | obs)", "MASS_epil", "poisson", "log", poisson(), "y ~ lbase * trt + lage + V4", ep, list(term("subject"), term("obs")), o = rep(log(2), nrow(ep)), glmer = TRUE, offset = "log(2)")
glmm("glmm_contra_livch", "use ~ age + I(age**2) + (1 + urban | district) + (1 | livch)", "mlmRev_Contraception", "binomial", "logit", binomial(), "use ~ age + I(age^2)", co, list(term("district", ~ urban), term("livch")))
glmm("glmm_contra_cells", "use ~ age + I(age**2) + urban + (1 | district) + (1 | district:livch)", "mlmRev_Contraception", "binomial", "logit", binomial(), "use ~ age + I(age^2) + urban", co, list(term("district"), term("district:livch")), glmer = TRUE)
glmm("glmm_arabidopsis", "`total.fruits` ~ C(nutrient) * C(amd) + C(rack) + C(status) + (1 | popu) + (1 | popu:gen)", "lme4_Arabidopsis", "poisson", "log", poisson(), "total.fruits ~ fnut * amd + frack + status", ar, list(term("popu"), term("popu:gen")))
for (fam in c("yb", "yp")) { F <- if (fam == "yb") binomial() else poisson(); n <- F$family; l <- F$link; g <- function(t) paste0("glmm_", t, "_", if (n == "binomial") "logit" else "poisson"); f <- paste0(fam, " ~ x"); w <- function(bars) paste0(f, " + ", bars)
  glmm(g("nest_ab"), w("(1 | a/b)"), v, n, l, F, f, ne, list(term("a"), term("a:b")), design = "nest", glmer = TRUE)
  glmm(g("nest_abc"), w("(1 | a/b/c)"), v, n, l, F, f, ne, list(term("a"), term("a:b"), term("a:b:c")), design = "nest", glmer = TRUE)
  glmm(g("nest_slopes"), w("(1 + x | a/b)"), v, n, l, F, f, ne, list(term("a", ~ x), term("a:b", ~ x)), design = "nest")
  glmm(g("cross"), w("(1 | a) + (1 | b)"), v, n, l, F, f, cr, list(term("a"), term("b")), design = "cross", glmer = TRUE)
  glmm(g("cross_three"), w("(1 | a) + (1 | b) + (1 | c)"), v, n, l, F, f, cr, list(term("a"), term("b"), term("c")), design = "cross")
  glmm(g("cross_slopes"), w("(1 + x | a) + (1 + x | b)"), v, n, l, F, f, cr, list(term("a", ~ x), term("b", ~ x)), design = "cross", glmer = TRUE)
  glmm(g("cross_diag"), w("(1 + x || a) + (1 | b)"), v, n, l, F, f, cr, list(term("a", ~ x, "diag"), term("b")), design = "cross")
  glmm(g("cross_cells"), w("(1 | a) + (1 + x | b) + (1 | a:b)"), v, n, l, F, f, cr, list(term("a"), term("b", ~ x), term("a:b")), design = "cross")
  glmm(g("cross_same_factor"), w("(1 | a) + (0 + x | a) + (1 | b)"), v, n, l, F, f, cr, list(term("a"), term("a", ~ 0 + x), term("b")), design = "cross")
  glmm(g("cross_offset"), w("(1 + x | a) + (1 | b)"), v, n, l, F, f, cr, list(term("a", ~ x), term("b")), o = log(cr$e), design = "cross", offset = "log(e)")
  glmm(g("odd_zero"), w("(1 | a) + (1 | b) + (1 | c)"), v, n, l, F, f, od, list(term("a"), term("b"), term("c")), design = "odd")
  glmm(g("odd_rank_one"), w("(1 + x | b) + (1 | c)"), v, n, l, F, f, od, list(term("b", ~ x), term("c")), design = "odd")
}
for (l in c("probit", "cloglog")) glmm(paste0("glmm_cross_", l), "yb ~ x + (1 | a) + (1 | b)", v, "binomial", l, binomial(l), "yb ~ x", cr, list(term("a"), term("b")), design = "cross")
glmm("glmm_cross_gaussian_log", "y ~ x + (1 | a) + (1 | b)", v, "gaussian", "log", gaussian("log"), "y ~ x", cr, list(term("a"), term("b")), beta = list(beta = c(2.2, 0.05), betad = 1), design = "cross")

# ---------------------------------------------------------------- the large ones
if (grepl(part, "glmm_verbagg_main")) {
  va <- rd("lme4_VerbAgg"); va$y <- as.integer(va$r2 == "Y")
  glmm("glmm_verbagg_main", "y ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)", "lme4_VerbAgg", "binomial", "logit", binomial(), "y ~ Anger + Gender + btype + situ", va, list(term("id"), term("item")), quick = TRUE)
  glmm("glmm_verbagg_slopes", "y ~ Anger + Gender + btype + situ + (1 + btype | id) + (1 + Gender | item)", "lme4_VerbAgg", "binomial", "logit", binomial(), "y ~ Anger + Gender + btype + situ", va, list(term("id", ~ btype), term("item", ~ Gender)), quick = TRUE)
}
if (grepl(part, "lmm_insteval_two_ml")) {
  ie <- rd("lme4_InstEval"); ie$fservice <- factor(ie$service)
  for (r in c(FALSE, TRUE)) { s <- if (r) "_reml" else "_ml"
    lmm(paste0("lmm_insteval_two", s), "y ~ C(service) + (1 | s) + (1 | d)", "lme4_InstEval", "y ~ fservice", ie, list(term("s"), term("d")), r, quick = TRUE)
    lmm(paste0("lmm_insteval_three", s), "y ~ C(service) + (1 | s) + (1 | d) + (1 | dept:service)", "lme4_InstEval", "y ~ fservice", ie, list(term("s"), term("d"), term("dept:service")), r, quick = TRUE)
  }
}
save_entries(file.path(out, "several.json"), part)

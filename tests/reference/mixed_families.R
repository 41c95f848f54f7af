# Mixed models of further families and links, independent of glimm: glmmTMB (Laplace).
#
# How to run: install R with lme4, glmmTMB and jsonlite, then here:
#   Rscript mixed_families.R data .            every entry; writes mixed_families.json
#   Rscript mixed_families.R data . gamma      only the entries whose id matches; the others are kept
# data: the folder with the csv files (sim_several.csv is made by sim_several.py). fitting.R says how a fit is found and what is stored.
# "parameters" of a family, in natural form: gamma phi = 1 / shape, variance phi mu^2; negative_binomial k, variance mu + mu^2 / k;
# negative_binomial1 alpha, variance mu (1 + alpha); beta precision, variance mu (1 - mu) / (1 + precision); tweedie phi and power,
# variance phi mu^power. "log_se": standard errors of their logarithms; "logit_power_se": of logit(power - 1).
# glmmTMB 1.1.5 has neither the inverse Gaussian family nor the cauchit link.
args <- commandArgs(TRUE); ddir <- args[1]; out <- args[2]; part <- if (length(args) > 2) args[3] else "."
source("fitting.R"); rd <- function(n) read_data(ddir, n); sim <- rd("sim_several"); des <- function(n) droplevels(sim[sim$design == n, ]); v <- "sim_several"
cr <- des("cross"); ne <- des("nest"); cr$ytw <- ifelse(cr$yp == 0, 0, cr$yg); ss <- rd("lme4_sleepstudy"); gt <- rd("lme4_grouseticks"); gt$fyear <- factor(gt$YEAR); ep <- rd("MASS_epil"); ep$trt <- relevel(ep$trt, "placebo"); cb <- rd("lme4_cbpp"); cb$fperiod <- factor(cb$period)
one <- list(term("a")); two <- list(term("a"), term("b")); slopes <- list(term("a", ~ x), term("b")); abc <- list(term("a"), term("a:b"), term("a:b:c"))
bars <- c(one = "(1 | a)", two = "(1 | a) + (1 | b)", slopes = "(1 + x | a) + (1 | b)"); sets <- list(one = one, two = two, slopes = slopes)

for (k in names(bars)) {
  cross <- function(id, y, family, link, fam, ...) glmm(paste0("glmm_", id, "_", k), paste0(y, " ~ x + ", bars[[k]]), v, family, link, fam, paste(y, "~ x"), cr, sets[[k]], design = "cross", ...)
  cross("gamma_log", "yg", "gamma", "log", Gamma("log"))
  if (k != "slopes") cross("gamma_inverse", "I(yg + 3)", "gamma", "inverse", Gamma("inverse"), beta = list(beta = c(0.2, 0), betad = 3))
  cross("nb2", "yp", "negative_binomial", "log", nbinom2())
  cross("nb1", "yp", "negative_binomial1", "log", nbinom1())
  cross("beta", "yu", "beta", "logit", beta_family())
  cross("tweedie", "ytw", "tweedie", "log", tweedie())
  for (l in c("probit", "cloglog")) cross(l, "yb", "binomial", l, binomial(l))
  if (k != "slopes") cross("poisson_sqrt", "yp", "poisson", "sqrt", poisson("sqrt"), beta = list(beta = c(1.3, 0)))
  for (f in c("gamma", "nb2", "nb1", "tweedie")) { y <- c(gamma = "yg", nb2 = "yp", nb1 = "yp", tweedie = "ytw")[[f]]; n <- c(gamma = "gamma", nb2 = "negative_binomial", nb1 = "negative_binomial1", tweedie = "tweedie")[[f]]
    F <- list(gamma = Gamma("log"), nb2 = nbinom2(), nb1 = nbinom1(), tweedie = tweedie())[[f]]; cross(paste0(f, "_offset"), y, n, "log", F, o = log(cr$e), offset = "log(e)") }
}
glmm("glmm_gamma_nest", "yg ~ x + (1 | a/b/c)", v, "gamma", "log", Gamma("log"), "yg ~ x", ne, abc, design = "nest")
glmm("glmm_nb2_nest", "yp ~ x + (1 | a/b/c)", v, "negative_binomial", "log", nbinom2(), "yp ~ x", ne, abc, design = "nest")
glmm("glmm_beta_nest", "yu ~ x + (1 | a/b/c)", v, "beta", "logit", beta_family(), "yu ~ x", ne, abc, design = "nest")
glmm("glmm_beta_probit_nest", "yu ~ x + (1 | a/b)", v, "beta", "probit", beta_family("probit"), "yu ~ x", ne, abc[1:2], design = "nest")
glmm("glmm_gamma_sleep", "Reaction ~ Days + (1 | Subject)", "lme4_sleepstudy", "gamma", "log", Gamma("log"), "Reaction ~ Days", ss, list(term("Subject")))
glmm("glmm_gamma_sleep_slope", "Reaction ~ Days + (Days | Subject)", "lme4_sleepstudy", "gamma", "log", Gamma("log"), "Reaction ~ Days", ss, list(term("Subject", ~ Days)))
glmm("glmm_nb2_epil", "y ~ lbase * C(trt) + lage + V4 + (1 | subject)", "MASS_epil", "negative_binomial", "log", nbinom2(), "y ~ lbase * trt + lage + V4", ep, list(term("subject")), o = rep(log(2), nrow(ep)), offset = "log(2)")
glmm("glmm_nb1_epil", "y ~ lbase * C(trt) + lage + V4 + (1 | subject)", "MASS_epil", "negative_binomial1", "log", nbinom1(), "y ~ lbase * trt + lage + V4", ep, list(term("subject")), o = rep(log(2), nrow(ep)), offset = "log(2)")
glmm("glmm_nb1_ticks", "TICKS ~ C(YEAR) + cHEIGHT + (1 | BROOD) + (1 | LOCATION)", "lme4_grouseticks", "negative_binomial1", "log", nbinom1(), "TICKS ~ fyear + cHEIGHT", gt, list(term("BROOD"), term("LOCATION")))
glmm("glmm_nb2_ticks", "TICKS ~ C(YEAR) + cHEIGHT + (1 | LOCATION)", "lme4_grouseticks", "negative_binomial", "log", nbinom2(), "TICKS ~ fyear + cHEIGHT", gt, list(term("LOCATION")))
for (l in c("probit", "cloglog")) glmm(paste0("glmm_cbpp_", l), "incidence / size ~ C(period) + (1 | herd)", "lme4_cbpp", "binomial", l, binomial(l), "cbind(incidence, size - incidence) ~ fperiod", cb, list(term("herd")))
save_entries(file.path(out, "mixed_families.json"), part)

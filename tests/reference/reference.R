# Open reference fits: what R's glm, lme4, glmmTMB and geepack give on the csv files of the folder "data".
#
# How to run: install R with the packages lme4, glmmTMB, geepack and jsonlite
#   (Debian: apt-get install r-base-core r-cran-lme4 r-cran-glmmtmb r-cran-geepack r-cran-jsonlite),
#   then, in this folder:   Rscript reference.R data .
# The first argument is the folder with the csv files, the second the folder where reference.json is written.
# The stored reference.json was made with R 4.2.2, lme4 1.1-31, glmmTMB 1.1.5, geepack 1.3.9 (Debian 12).
# It takes about a minute. Running it again changes at most the last few digits (optimisers).
args <- commandArgs(TRUE); ddir <- args[1]; out <- args[2]
suppressMessages({library(lme4); library(glmmTMB); library(geepack); library(jsonlite)})
options(contrasts = c("contr.treatment", "contr.poly"))
res <- list()
rd <- function(n) read.csv(file.path(ddir, paste0(n, ".csv")), stringsAsFactors = TRUE)
add <- function(id, kind, formula, data, fit, ...) {
  f <- fit
  co <- if (inherits(f, "glmmTMB")) summary(f)$coefficients$cond else as.matrix(coef(summary(f)))
  vc <- NULL
  if (inherits(f, "merMod")) vc <- as.data.frame(VarCorr(f))[, c("grp", "var1", "var2", "sdcor")]
  if (inherits(f, "glmmTMB")) vc <- lapply(VarCorr(f)$cond, function(m) list(sd = attr(m, "stddev"), cor = attr(m, "correlation")))
  extra <- list(...)
  if (inherits(f, "merMod")) extra <- c(extra, list(theta = getME(f, "theta")))
  if (inherits(f, "geeglm")) extra <- c(extra, list(alpha = f$geese$alpha, phi = f$geese$gamma))
  if (inherits(f, "glmmTMB")) extra <- c(extra, list(sigma = sigma(f), zi = if (length(fixef(f)$zi)) fixef(f)$zi else NULL, disp = fixef(f)$disp))
  ll <- if (inherits(f, "geeglm")) NULL else as.numeric(logLik(f))
  res[[id]] <<- list(kind = kind, formula = formula, data = data, coef = as.list(setNames(co[, 1], rownames(co))),
                     se = as.list(setNames(co[, 2], rownames(co))), loglik = ll, vc = vc, extra = extra)
  cat(id, "ok", ll, "\n")
}
# glmer's default tolPwrss = 1e-7 biases its deviance by up to 1e-2 on hard data: 1e-12 agrees with glmmTMB
bob <- glmerControl(optimizer = "bobyqa", optCtrl = list(maxfun = 2e5, rhoend = 1e-10), tolPwrss = 1e-12, calc.derivs = TRUE)
gc0 <- glm.control(epsilon = 1e-15, maxit = 100)
lbo <- lmerControl(optimizer = "bobyqa", optCtrl = list(maxfun = 2e5, rhoend = 1e-9))
# GLM
oh <- rd("geepack_ohio"); cb <- rd("lme4_cbpp"); gt <- rd("lme4_grouseticks"); to <- rd("HSAUR3_toenail"); gt$YEAR <- factor(gt$YEAR)
to$y <- as.integer(to$outcome == "moderate or severe")
add("glm_ohio_logit", "glm", "resp ~ age * smoke", "geepack_ohio", glm(resp ~ age * smoke, binomial, oh, control = gc0))
add("glm_ohio_probit", "glm", "resp ~ age * smoke", "geepack_ohio", glm(resp ~ age * smoke, binomial("probit"), oh, control = gc0))
add("glm_cbpp_trials", "glm", "incidence / size ~ C(period)", "lme4_cbpp", glm(cbind(incidence, size - incidence) ~ factor(period), binomial, cb, control = gc0))
add("glm_ticks_poisson", "glm", "TICKS ~ C(YEAR) + cHEIGHT", "lme4_grouseticks", glm(TICKS ~ YEAR + cHEIGHT, poisson, gt, control = gc0))
# LMM
ss <- rd("lme4_sleepstudy"); ss$Subject <- factor(ss$Subject)
add("lmm_sleep_reml", "lmm", "Reaction ~ Days + (Days | Subject)", "lme4_sleepstudy", lmer(Reaction ~ Days + (Days | Subject), ss, control = lbo), reml = TRUE)
add("lmm_sleep_ml", "lmm", "Reaction ~ Days + (Days | Subject)", "lme4_sleepstudy", lmer(Reaction ~ Days + (Days | Subject), ss, REML = FALSE, control = lbo), reml = FALSE)
add("lmm_sleep_zerocorr", "lmm", "Reaction ~ Days + (Days || Subject)", "lme4_sleepstudy", lmer(Reaction ~ Days + (Days || Subject), ss, REML = FALSE, control = lbo), reml = FALSE)
dy <- rd("lme4_Dyestuff"); add("lmm_dyestuff_ml", "lmm", "Yield ~ 1 + (1 | Batch)", "lme4_Dyestuff", lmer(Yield ~ 1 + (1 | Batch), dy, REML = FALSE, control = lbo), reml = FALSE)
# GLMM
add("glmm_cbpp_laplace", "glmm", "incidence / size ~ C(period) + (1 | herd)", "lme4_cbpp", glmer(cbind(incidence, size - incidence) ~ factor(period) + (1 | herd), cb, binomial, control = bob), points = 1)
co <- rd("mlmRev_Contraception"); add("glmm_contra_laplace", "glmm", "use ~ age + I(age**2) + urban + livch + (1 | district)", "mlmRev_Contraception", glmer(I(use == "Y") ~ age + I(age^2) + urban + livch + (1 | district), co, binomial, control = bob), points = 1)
add("glmm_ohio_aghq30", "glmm", "resp ~ age * smoke + (1 | id)", "geepack_ohio", glmer(resp ~ age * smoke + (1 | id), oh, binomial, nAGQ = 30, control = bob), points = 30)
for (k in c(1, 5, 10, 25, 50)) add(paste0("glmm_toenail_", k), "glmm", "y ~ treatment * time + (1 | patientID)", "HSAUR3_toenail", glmer(y ~ treatment * time + (1 | patientID), to, binomial, nAGQ = k, control = bob), points = k)
add("glmm_ticks_poisson", "glmm", "TICKS ~ C(YEAR) + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)", "lme4_grouseticks", glmer(TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION), gt, poisson, control = bob), points = 1)
add("glmm_ticks_nb2", "glmm", "TICKS ~ C(YEAR) + cHEIGHT + (1 | BROOD) + (1 | LOCATION)", "lme4_grouseticks", glmmTMB(TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | LOCATION), gt, nbinom2))

# The same Laplace models by glmmTMB (observed information, joint Hessian): the reference for GLMM standard errors
con <- glmmTMBControl(optCtrl = list(iter.max = 1e4, eval.max = 1e4, rel.tol = 1e-14, x.tol = 1e-12))
add("glmm_cbpp_laplace_tmb", "glmm", "incidence / size ~ C(period) + (1 | herd)", "lme4_cbpp", glmmTMB(cbind(incidence, size - incidence) ~ factor(period) + (1 | herd), cb, binomial, control = con), points = 1)
add("glmm_contra_laplace_tmb", "glmm", "use ~ age + I(age**2) + urban + livch + (1 | district)", "mlmRev_Contraception", glmmTMB(I(use == "Y") ~ age + I(age^2) + urban + livch + (1 | district), co, binomial, control = con), points = 1)
add("glmm_toenail_1_tmb", "glmm", "y ~ treatment * time + (1 | patientID)", "HSAUR3_toenail", glmmTMB(y ~ treatment * time + (1 | patientID), to, binomial, control = con), points = 1)
add("glmm_ticks_poisson_tmb", "glmm", "TICKS ~ C(YEAR) + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)", "lme4_grouseticks", glmmTMB(TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION), gt, poisson, control = con), points = 1)
# GEE (rows sorted by cluster, as geepack needs)
oh <- oh[order(oh$id), ]; to <- to[order(to$patientID), ]; ep <- rd("geepack_seizure")
for (cs in c("independence", "exchangeable", "ar1")) {
  add(paste0("gee_ohio_", cs), "gee", "resp ~ age * smoke, groups = id", "geepack_ohio", geeglm(resp ~ age * smoke, data = oh, id = id, family = binomial, corstr = cs, control = geese.control(epsilon = 1e-11, maxit = 500)), corr = cs)
  add(paste0("gee_toenail_", cs), "gee", "y ~ treatment * time, groups = patientID", "HSAUR3_toenail", geeglm(y ~ treatment * time, data = to, id = patientID, family = binomial, corstr = cs, control = geese.control(epsilon = 1e-11, maxit = 500)), corr = cs)
}
write_json(res, file.path(out, "reference.json"), auto_unbox = TRUE, digits = NA, pretty = TRUE, null = "null")

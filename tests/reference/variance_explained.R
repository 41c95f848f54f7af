# R2 and intraclass correlations of mixed models, as R's performance gives them, and for log links from the formulas.
#
# How to run: install R with lme4, glmmTMB, performance and jsonlite (Debian: r-base-core r-cran-lme4 r-cran-glmmtmb
#   r-cran-performance r-cran-jsonlite), then, in this folder:   Rscript variance_explained.R data .
#
# Log links: performance 0.10 takes exp(b0) of the model without predictors for its mean. Nakagawa, Johnson and Schielzeth (2017),
# section 5, take exp(b0 + v / 2), v the variance of its random effects; so "mean" is stored and the shares are computed here.
args <- commandArgs(TRUE); ddir <- args[1]; out <- args[2]
suppressMessages({library(lme4); library(glmmTMB); library(performance); library(insight); library(jsonlite)})
options(warn = 1)
ver <- paste(c(paste("R", getRversion()), sapply(c("lme4", "glmmTMB", "performance", "insight"), function(p) paste(p, packageVersion(p)))), collapse = ", ")
rd <- function(n) read.csv(file.path(ddir, paste0(n, ".csv")))
res <- list()
shares <- function(x) {
  total <- x$fixed + x$random + x$distribution + x$dispersion
  c(x, list(marginal = x$fixed / total, conditional = (x$fixed + x$random) / total,
            icc_adjusted = x$random / (x$random + x$distribution + x$dispersion), icc_conditional = x$random / total))
}
put <- function(id, m, ..., mean = NULL, cv2 = NULL) {
  v <- suppressWarnings(get_variance(m))
  x <- list(..., fixed = v$var.fixed, random = v$var.random, distribution = v$var.distribution, dispersion = v$var.dispersion)
  if (is.null(mean)) {
    i <- icc(m); r <- r2_nakagawa(m)
    x <- c(x, list(marginal = unname(r$R2_marginal), conditional = unname(r$R2_conditional), icc_adjusted = i$ICC_adjusted, icc_conditional = i$ICC_conditional))
  } else {
    x$mean <- mean; x$distribution <- log1p(cv2)
    y <- x; y$distribution <- cv2; z <- x; z$distribution <- trigamma(1 / cv2)
    x <- shares(x); x$delta <- shares(y)[c("distribution", "marginal", "conditional")]; x$trigamma <- shares(z)[c("distribution", "marginal", "conditional")]
  }
  x$note <- ver; res[[id]] <<- x; cat(id, "ok\n")
}
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9))
ss <- rd("lme4_sleepstudy")
put("sleep_intercept", lmer(Reaction ~ Days + (1 | Subject), ss, control = tight), formula = "Reaction ~ Days + (1 | Subject)", data = "lme4_sleepstudy", family = "gaussian", points = 0)
put("sleep_slope", lmer(Reaction ~ Days + (Days | Subject), ss, control = tight), formula = "Reaction ~ Days + (Days | Subject)", data = "lme4_sleepstudy", family = "gaussian", points = 0)
cb <- rd("lme4_cbpp"); cb$period <- factor(cb$period)
for (link in c("logit", "probit", "cloglog"))
  put(paste0("cbpp_", link), glmmTMB(cbind(incidence, size - incidence) ~ period + (1 | herd), cb, binomial(link)),
      formula = "incidence / size ~ C(period) + (1 | herd)", data = "lme4_cbpp", family = "binomial", link = link, points = 1)
oh <- rd("geepack_ohio")
put("ohio_logit", glmmTMB(resp ~ age * smoke + (1 | id), oh, binomial), formula = "resp ~ age * smoke + (1 | id)", data = "geepack_ohio", family = "binomial", link = "logit", points = 1)
gt <- rd("lme4_grouseticks"); gt$YEAR <- factor(gt$YEAR)
null <- glmmTMB(TICKS ~ 1 + (1 | BROOD), gt, poisson)
mu <- exp(fixef(null)$cond[[1]] + VarCorr(null)$cond$BROOD[1] / 2)
put("ticks_poisson", glmmTMB(TICKS ~ YEAR + cHEIGHT + (1 | BROOD), gt, poisson), formula = "TICKS ~ C(YEAR) + cHEIGHT + (1 | BROOD)", data = "lme4_grouseticks",
    family = "poisson", link = "log", points = 1, mean = mu, cv2 = 1 / mu)
writeLines(toJSON(res, digits = NA, auto_unbox = TRUE), file.path(out, "variance_explained.json"))

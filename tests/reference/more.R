# Further reference fits, independent of glimm: what R's glm, lme4, glmmTMB, geepack, gee and sandwich give.
#
# How to run: install R with lme4, glmmTMB, geepack, gee, sandwich and jsonlite (Debian: r-base-core r-cran-lme4
#   r-cran-glmmtmb r-cran-geepack r-cran-gee r-cran-sandwich r-cran-jsonlite), then, in this folder:
#   Rscript more.R data .
# First argument: the folder with the csv files (seizure_long.csv and sim_boundary.csv are written there if missing);
# second: the folder where more.json is written. Every entry names in "note" the program and its version.
#
# Optimisers stop where the objective is flat to rounding, which leaves 5 or 6 digits in the variance parameters. So every
# mixed model is polished: Newton steps on the program's own objective (lme4: its deviance function with 6th order
# differences; glmmTMB: its exact gradient) until the step is below 1e-8 or so. "newton_step" is the last step's size.
args <- commandArgs(TRUE); ddir <- args[1]; out <- args[2]
suppressMessages({library(lme4); library(glmmTMB); library(geepack); library(gee); library(sandwich); library(jsonlite)})
options(contrasts = c("contr.treatment", "contr.poly"), warn = 1)
ver <- function(...) paste(c(paste("R", getRversion()), sapply(c(...), function(p) paste(p, packageVersion(p)))), collapse = ", ")
rd <- function(n) read.csv(file.path(ddir, paste0(n, ".csv")), stringsAsFactors = TRUE)
res <- list()
put <- function(id, x) { res[[id]] <<- x; cat(id, "ok", format(x$loglik, digits = 12), "\n") }
nl <- function(x) as.list(x)
mat <- function(m) unname(as.matrix(m))
num <- function(x) I(as.numeric(x))                       # always a JSON list, also of length 1
try_put <- function(id, expr) { r <- try(expr, silent = TRUE); if (inherits(r, "try-error")) cat("FAILED", id, r, "\n") }

# ---------------------------------------------------------------- data
ss <- rd("lme4_sleepstudy"); ss$Subject <- factor(ss$Subject); ss$w <- 1 + ss$Days
oh <- rd("geepack_ohio"); oh <- oh[order(oh$id), ]; oh$w <- 1 + oh$id %% 3
cb <- rd("lme4_cbpp"); cb$period <- factor(cb$period); cb$herd <- factor(cb$herd)
gt <- rd("lme4_grouseticks"); gt$YEAR <- factor(gt$YEAR); gt$BROOD <- factor(gt$BROOD)
ep <- rd("MASS_epil"); ep <- ep[order(ep$subject, ep$period), ]; ep$trt <- relevel(ep$trt, "placebo"); ep$log2 <- log(2)
to <- rd("HSAUR3_toenail"); to$y <- as.integer(to$outcome == "moderate or severe"); to <- to[order(to$patientID, to$visit), ]
to$month <- c(0, 1, 2, 3, 6, 9, 12)[to$visit]
co <- rd("mlmRev_Contraception"); co$district <- factor(co$district); co$y <- as.integer(co$use == "Y")
dy <- rd("lme4_Dyestuff"); dy2 <- rd("lme4_Dyestuff2")
# geepack's seizure in long form: visit 0 = baseline (8 weeks), 1..4 = two weeks each; post = visit > 0
f <- file.path(ddir, "seizure_long.csv")
if (!file.exists(f)) {
  se <- rd("geepack_seizure")
  sz <- do.call(rbind, lapply(seq_len(nrow(se)), function(i) data.frame(id = i, visit = 0:4, post = c(0, 1, 1, 1, 1), weeks = c(8, 2, 2, 2, 2),
    trt = se$trt[i], age = se$age[i], y = c(se$base[i], se$y1[i], se$y2[i], se$y3[i], se$y4[i]))))
  write.csv(sz, f, row.names = FALSE)
}
sz <- rd("seizure_long"); sz$logweeks <- log(sz$weeks)
# a small binary data set whose random intercept variance is estimated as 0: responses drawn independently, then kept
# only if the groups' totals vary less than chance (the first such seed from 1 on: 42)
f <- file.path(ddir, "sim_boundary.csv")
if (!file.exists(f)) {
  RNGkind("Mersenne-Twister", "Inversion", "Rejection")
  for (seed in 1:200) {
    set.seed(seed); d <- data.frame(g = rep(1:20, each = 8), x = round(rnorm(160), 3)); d$y <- rbinom(160, 1, plogis(-0.3 + 0.8 * d$x))
    r <- residuals(glm(y ~ x, binomial, d), "response"); if (var(tapply(r, d$g, sum)) < 0.5 * 8 * mean(r^2)) break
  }
  cat("sim_boundary: seed", seed, "\n"); write.csv(d, f, row.names = FALSE)
}
sb <- rd("sim_boundary"); sb$g <- factor(sb$g)

# ---------------------------------------------------------------- GLM
gc0 <- glm.control(epsilon = 1e-15, maxit = 200)
glm_put <- function(id, formula, data, family, link, f, ..., newdata = NULL, rows = FALSE, cluster = NULL, cluster_name = NULL) {
  s <- summary(f)
  x <- list(kind = "glm", formula = formula, data = data, family = family, link = link, ..., coef = nl(coef(f)), se = nl(coef(s)[, 2]), vcov = mat(vcov(f)),
    dispersion = s$dispersion, df_resid = f$df.residual, df_null = f$df.null, deviance = f$deviance, null_deviance = f$null.deviance,
    pearson_chi2 = sum(residuals(f, "pearson")^2), loglik = as.numeric(logLik(f)), aic = AIC(f), bic = BIC(f), nobs = nobs(f))
  if (rows) x$residuals <- list(response = num(residuals(f, "response")), pearson = num(residuals(f, "pearson")), deviance = num(residuals(f, "deviance")),
    working = num(residuals(f, "working")), fitted = num(fitted(f)), leverage = num(hatvalues(f)), standardized_deviance = num(rstandard(f)), standardized_pearson = num(rstandard(f, type = "pearson")), cooks = num(cooks.distance(f)))
  if (!is.null(newdata)) {
    l <- predict(f, newdata, type = "link", se.fit = TRUE); r <- predict(f, newdata, type = "response", se.fit = TRUE)
    x$predict <- list(newdata = newdata, link = num(l$fit), link_se = num(l$se.fit), response = num(r$fit), response_se = num(r$se.fit))
  }
  if (!is.null(cluster)) {
    for (t in c("HC0", "HC1", "HC2", "HC3")) x$robust[[t]] <- mat(vcovHC(f, type = t))
    x$cluster <- list(variable = cluster_name, n = length(unique(cluster)), HC0 = mat(vcovCL(f, cluster = cluster, type = "HC0", cadjust = FALSE)),
      HC1_cadjust = mat(vcovCL(f, cluster = cluster, type = "HC1", cadjust = TRUE)), HC0_cadjust = mat(vcovCL(f, cluster = cluster, type = "HC0", cadjust = TRUE)))
  }
  x$note <- paste0(ver(if (!is.null(cluster)) "sandwich"), ", glm(epsilon = 1e-15); converged: ", f$converged,
    if (!is.null(cluster)) "; robust = vcovHC, cluster = vcovCL: HC0 = no factor, HC1_cadjust = factor G/(G-1) (N-1)/(N-p), HC0_cadjust = factor G/(G-1)" else "")
  put(id, x)
}
noh <- data.frame(age = c(-2, -1, 0, 1, 1.5), smoke = c(0, 1, 0, 1, 0.5))
glm_put("glm_ohio_logit_full", "resp ~ age * smoke", "geepack_ohio", "binomial", "logit", glm(resp ~ age * smoke, binomial, oh, control = gc0), newdata = noh, cluster = oh$id, cluster_name = "id")
glm_put("glm_ohio_probit_full", "resp ~ age * smoke", "geepack_ohio", "binomial", "probit", glm(resp ~ age * smoke, binomial("probit"), oh, control = gc0), newdata = noh, cluster = oh$id, cluster_name = "id")
glm_put("glm_ohio_cloglog", "resp ~ age * smoke", "geepack_ohio", "binomial", "cloglog", glm(resp ~ age * smoke, binomial("cloglog"), oh, control = gc0), newdata = noh)
glm_put("glm_ohio_log", "resp ~ age * smoke", "geepack_ohio", "binomial", "log", glm(resp ~ age * smoke, binomial("log"), oh, control = gc0, start = c(-2, 0, 0, 0)), start = num(c(-2, 0, 0, 0)), newdata = noh)
glm_put("glm_ohio_identity", "resp ~ age * smoke", "geepack_ohio", "binomial", "identity", glm(resp ~ age * smoke, binomial("identity"), oh, control = gc0, start = c(.15, 0, 0, 0)), start = num(c(.15, 0, 0, 0)), newdata = noh)
glm_put("glm_ohio_weights", "resp ~ age * smoke", "geepack_ohio", "binomial", "logit", glm(resp ~ age * smoke, binomial, oh, weights = w, control = gc0), weights = "1 + id % 3", newdata = noh, cluster = oh$id, cluster_name = "id")
glm_put("glm_cbpp_full", "incidence / size ~ C(period)", "lme4_cbpp", "binomial", "logit", glm(cbind(incidence, size - incidence) ~ period, binomial, cb, control = gc0), rows = TRUE, newdata = data.frame(period = factor(c(1, 2, 3, 4, 1))), cluster = cb$herd, cluster_name = "herd")
glm_put("glm_cbpp_cloglog", "incidence / size ~ C(period)", "lme4_cbpp", "binomial", "cloglog", glm(cbind(incidence, size - incidence) ~ period, binomial("cloglog"), cb, control = gc0), rows = TRUE)
nss <- data.frame(Days = c(0, 2.5, 5, 9, 12))
glm_put("glm_sleep_gaussian", "Reaction ~ Days", "lme4_sleepstudy", "gaussian", "identity", glm(Reaction ~ Days, gaussian, ss, control = gc0), newdata = nss, cluster = ss$Subject, cluster_name = "Subject")
glm_put("glm_sleep_weights", "Reaction ~ Days", "lme4_sleepstudy", "gaussian", "identity", glm(Reaction ~ Days, gaussian, ss, weights = w, control = gc0), weights = "1 + Days", rows = TRUE, newdata = nss, cluster = ss$Subject, cluster_name = "Subject")
glm_put("glm_sleep_log", "Reaction ~ Days", "lme4_sleepstudy", "gaussian", "log", glm(Reaction ~ Days, gaussian("log"), ss, control = gc0, start = c(5.5, .03)), start = num(c(5.5, .03)), rows = TRUE, newdata = nss, cluster = ss$Subject, cluster_name = "Subject")
glm_put("glm_sleep_inverse", "Reaction ~ Days", "lme4_sleepstudy", "gaussian", "inverse", glm(Reaction ~ Days, gaussian("inverse"), ss, control = gc0, start = c(.004, 0)), start = num(c(.004, 0)))
glm_put("glm_seizure_offset", "y ~ trt * post", "seizure_long", "poisson", "log", glm(y ~ trt * post + offset(logweeks), poisson, sz, control = gc0), offset = "log(weeks)", rows = TRUE,
        newdata = data.frame(trt = c(0, 0, 1, 1, 1), post = c(0, 1, 0, 1, 1), logweeks = log(c(8, 2, 8, 2, 1)), weeks = c(8, 2, 8, 2, 1)), cluster = sz$id, cluster_name = "id")
glm_put("glm_epil_offset", "y ~ lbase * C(trt) + V4", "MASS_epil", "poisson", "log", glm(y ~ lbase * trt + V4 + offset(log2), poisson, ep, control = gc0), offset = "log(2)", levels = list(trt = c("placebo", "progabide")))
glm_put("glm_epil_identity", "y ~ base + C(trt) + V4", "MASS_epil", "poisson", "identity", glm(y ~ base + trt + V4, poisson("identity"), ep, control = gc0, start = c(1, .25, 0, 0)), start = num(c(1, .25, 0, 0)), levels = list(trt = c("placebo", "progabide")))
glm_put("glm_epil_sqrt", "y ~ base + C(trt) + V4", "MASS_epil", "poisson", "sqrt", glm(y ~ base + trt + V4, poisson("sqrt"), ep, control = gc0), levels = list(trt = c("placebo", "progabide")))

# ---------------------------------------------------------------- polishing by 6th order differences
st <- c(-1, 9, -45, 0, 45, -9, 1) / 60; s2 <- c(2, -27, 270, -490, 270, -27, 2) / 180; kk <- -3:3
grad6 <- function(fn, p, h) sapply(seq_along(p), function(i) sum(sapply(which(st != 0), function(k) { q <- p; q[i] <- q[i] + kk[k] * h[i]; st[k] * fn(q) })) / h[i])
hess6 <- function(fn, p, h) {                                     # diagonal: 6th order; off diagonal: 6th order derivative along i+j and i-j
  n <- length(p); H <- matrix(0, n, n); along <- function(d) sum(sapply(1:7, function(k) s2[k] * fn(p + kk[k] * h * d)))
  e <- diag(n); for (i in 1:n) H[i, i] <- along(e[, i]) / h[i]^2
  if (n > 1) for (i in 2:n) for (j in 1:(i - 1)) H[i, j] <- H[j, i] <- (along(e[, i] + e[, j]) - along(e[, i] - e[, j])) / (4 * h[i] * h[j])
  H
}

# ---------------------------------------------------------------- LMM
lbo <- lmerControl(optimizer = "bobyqa", optCtrl = list(maxfun = 2e5, rhoend = 1e-9))
lmm_put <- function(id, formula, data, fm, d, reml, ..., w = NULL, off = NULL) {
  d$.w <- if (is.null(w)) rep(1, nrow(d)) else w; d$.o <- if (is.null(off)) rep(0, nrow(d)) else off
  lf <- lFormula(fm, d, REML = reml, weights = .w, offset = .o, control = lbo); dv <- do.call(mkLmerDevfun, lf)
  opt <- optimizeLmer(dv, optimizer = "bobyqa", control = list(maxfun = 2e5, rhoend = 1e-9)); th <- opt$par; step <- 0
  if (th > 1e-4) { for (it in 1:6) { g <- grad6(dv, th, 0.02 * th); H <- hess6(dv, th, 0.02 * th); step <- -g / as.numeric(H); th <- th + step; if (abs(step) < 1e-11) break } } else th <- 0
  opt$par <- th; opt$fval <- dv(th); f <- mkMerMod(environment(dv), opt, lf$reTrms, fr = lf$fr)
  chk <- lmer(fm, d, REML = reml, weights = .w, offset = .o, control = lbo); d0 <- as.numeric(logLik(f) - logLik(chk)); if (abs(d0) > 1e-7) cat(id, ": polished minus plain lmer log-likelihood", d0, "theta", th, "\n"); stopifnot(d0 > -1e-8, d0 < 1e-4)
  rr <- ranef(f, condVar = TRUE)[[1]]
  put(id, list(kind = "lmm", formula = formula, data = data, reml = reml, ..., coef = nl(fixef(f)), se = nl(sqrt(diag(as.matrix(vcov(f))))), vcov = mat(vcov(f)),
    loglik = as.numeric(logLik(f)), m2loglik = opt$fval, theta = as.numeric(th), sigma = sigma(f), sd = as.numeric(th) * sigma(f), aic = AIC(f), bic = BIC(f),
    ranef = nl(setNames(rr[, 1], rownames(rr))), ranef_condsd = nl(setNames(sqrt(as.numeric(attr(rr, "postVar"))), rownames(rr))), fitted_first5 = num(fitted(f)[1:5]), newton_step = abs(as.numeric(step)),
    note = paste0(ver("lme4"), ", lmer (bobyqa, then Newton on lme4's deviance function); m2loglik = -2 log-likelihood (REML criterion if reml); theta = sd / sigma; se and vcov at fixed theta; ranef_condsd = sqrt of attr(ranef, postVar)")))
}
for (r in c(FALSE, TRUE)) { sfx <- if (r) "reml" else "ml"
  lmm_put(paste0("lmm_sleep_ri_", sfx), "Reaction ~ Days + (1 | Subject)", "lme4_sleepstudy", Reaction ~ Days + (1 | Subject), ss, r)
  lmm_put(paste0("lmm_dyestuff_ri_", sfx), "Yield ~ 1 + (1 | Batch)", "lme4_Dyestuff", Yield ~ 1 + (1 | Batch), dy, r)
  lmm_put(paste0("lmm_dyestuff2_", sfx), "Yield ~ 1 + (1 | Batch)", "lme4_Dyestuff2", Yield ~ 1 + (1 | Batch), dy2, r)
  lmm_put(paste0("lmm_sleep_weights_", sfx), "Reaction ~ Days + (1 | Subject)", "lme4_sleepstudy", Reaction ~ Days + (1 | Subject), ss, r, weights = "1 + Days", w = 1 + ss$Days)
  lmm_put(paste0("lmm_sleep_offset_", sfx), "Reaction ~ Days + (1 | Subject)", "lme4_sleepstudy", Reaction ~ Days + (1 | Subject), ss, r, offset = "Days ** 2", off = ss$Days^2)
  lmm_put(paste0("lmm_contra_age_", sfx), "age ~ urban + livch + (1 | district)", "mlmRev_Contraception", age ~ urban + livch + (1 | district), co, r)
  lmm_put(paste0("lmm_cbpp_size_", sfx), "size ~ C(period) + (1 | herd)", "lme4_cbpp", size ~ period + (1 | herd), cb, r)
  lmm_put(paste0("lmm_toenail_unbalanced_", sfx), "time ~ visit * C(treatment) + (1 | patientID)", "HSAUR3_toenail", time ~ visit * treatment + (1 | patientID), transform(to, patientID = factor(patientID)), r)
}

# ---------------------------------------------------------------- GLMM, Laplace, by glmmTMB
# ("singular convergence (7)" is nlminb asked for more digits than it has; the Newton steps finish the job: see max_gradient)
con <- glmmTMBControl(optCtrl = list(iter.max = 1e4, eval.max = 1e4, rel.tol = 1e-14, x.tol = 1e-12))
tmb_put <- function(id, formula, data, family, link, f, ...) {
  o <- f$obj; p <- f$fit$par; o$env$inner.control$tol <- 1e-12; step <- NA; hj <- function(p) { n <- length(p); J <- sapply(1:n, function(i) { h <- 1e-3; v <- 0; for (k in which(st != 0)) { q <- p; q[i] <- q[i] + kk[k] * h; v <- v + st[k] * as.numeric(o$gr(q)) }; v / h }); J <- matrix(J, n); (J + t(J)) / 2 }
  for (it in 1:8) { H <- hj(p); step <- -solve(H, as.numeric(o$gr(p))); p <- p + step; if (max(abs(step)) < 1e-12) break }
  ll <- -o$fn(p); stopifnot(abs(ll - as.numeric(logLik(f))) < 1e-6); V <- solve(hj(p)); nm <- names(p); o$fn(p); full <- o$env$last.par; r <- o$env$random
  csd <- sqrt(1 / Matrix::diag(o$env$spHess(full, random = TRUE)))
  sdr <- TMB::sdreport(o, par.fixed = p, hessian.fixed = solve(V), getReportCovariance = FALSE)
  ib <- which(nm == "beta"); it <- which(nm == "theta"); lev <- levels(f$modelInfo$reTrms$cond$flist[[1]]); bn <- names(fixef(f)$cond)
  x <- list(kind = "glmm", formula = formula, data = data, family = family, link = link, points = 1, ..., coef = nl(setNames(p[ib], bn)), se = nl(setNames(sqrt(diag(V))[ib], bn)), vcov = mat(V[ib, ib, drop = FALSE]),
    loglik = ll, sd = exp(p[[it]]), log_sd = p[[it]], log_sd_se = sqrt(V[it, it]))
  if ("betad" %in% nm) { id2 <- which(nm == "betad"); fac <- log(sigma(f)) / f$fit$par[[id2]]; x$sigma <- exp(fac * p[[id2]]); x$log_sigma_se <- fac * sqrt(V[id2, id2]) }
  x$ranef <- nl(setNames(full[r], lev)); x$ranef_condsd <- nl(setNames(csd, lev)); x$ranef_sd_with_fixed <- nl(setNames(sqrt(sdr$diag.cov.random), lev))
  x$newton_step <- max(abs(step)); x$max_gradient <- max(abs(o$gr(p)))
  x$note <- paste0(ver("glmmTMB", "TMB"), ", glmmTMB (nlminb, then Newton on TMB's gradient); se from the joint Hessian of (coef, log sd", if (!is.null(x$sigma)) ", log sigma" else "", "); ranef = conditional modes; ranef_condsd = at fixed parameters (inverse of the Hessian in u); ranef_sd_with_fixed = TMB sdreport, includes the uncertainty of the parameters (what ranef(condVar = TRUE) of glmmTMB uses)")
  put(id, x)
}
T <- function(fm, d, fam, ...) glmmTMB(fm, d, fam, control = con, ...)
try_put("a", tmb_put("glmm_ticks_brood_tmb", "TICKS ~ C(YEAR) + cHEIGHT + (1 | BROOD)", "lme4_grouseticks", "poisson", "log", T(TICKS ~ YEAR + cHEIGHT + (1 | BROOD), gt, poisson)))
try_put("b", tmb_put("glmm_contra_logit_tmb", "y ~ age + I(age**2) + urban + livch + (1 | district)", "mlmRev_Contraception", "binomial", "logit", T(y ~ age + I(age^2) + urban + livch + (1 | district), co, binomial), response = "y = use == 'Y'"))
try_put("c", tmb_put("glmm_contra_probit_tmb", "y ~ age + I(age**2) + urban + livch + (1 | district)", "mlmRev_Contraception", "binomial", "probit", T(y ~ age + I(age^2) + urban + livch + (1 | district), co, binomial("probit")), response = "y = use == 'Y'"))
try_put("d", tmb_put("glmm_contra_cloglog_tmb", "y ~ age + I(age**2) + urban + livch + (1 | district)", "mlmRev_Contraception", "binomial", "cloglog", T(y ~ age + I(age^2) + urban + livch + (1 | district), co, binomial("cloglog")), response = "y = use == 'Y'"))
try_put("e", tmb_put("glmm_ohio_logit_tmb", "resp ~ age * smoke + (1 | id)", "geepack_ohio", "binomial", "logit", T(resp ~ age * smoke + (1 | id), oh, binomial)))
try_put("f", tmb_put("glmm_ohio_probit_tmb", "resp ~ age * smoke + (1 | id)", "geepack_ohio", "binomial", "probit", T(resp ~ age * smoke + (1 | id), oh, binomial("probit"))))
try_put("g", tmb_put("glmm_cbpp_probit_tmb", "incidence / size ~ C(period) + (1 | herd)", "lme4_cbpp", "binomial", "probit", T(cbind(incidence, size - incidence) ~ period + (1 | herd), cb, binomial("probit"))))
try_put("h", tmb_put("glmm_cbpp_cloglog_tmb", "incidence / size ~ C(period) + (1 | herd)", "lme4_cbpp", "binomial", "cloglog", T(cbind(incidence, size - incidence) ~ period + (1 | herd), cb, binomial("cloglog"))))
try_put("i", tmb_put("glmm_epil_offset_tmb", "y ~ lbase * C(trt) + V4 + (1 | subject)", "MASS_epil", "poisson", "log", T(y ~ lbase * trt + V4 + offset(log2) + (1 | subject), ep, poisson), offset = "log(2)", levels = list(trt = c("placebo", "progabide"))))
try_put("j", tmb_put("glmm_seizure_offset_tmb", "y ~ trt * post + (1 | id)", "seizure_long", "poisson", "log", T(y ~ trt * post + offset(logweeks) + (1 | id), sz, poisson), offset = "log(weeks)"))
try_put("k", tmb_put("glmm_sleep_log_tmb", "Reaction ~ Days + (1 | Subject)", "lme4_sleepstudy", "gaussian", "log", T(Reaction ~ Days + (1 | Subject), ss, gaussian("log"), start = list(beta = c(5.5, .03), theta = log(.1), betad = 2 * log(30))), start = num(c(5.5, .03))))
try_put("l", tmb_put("glmm_sleep_identity_tmb", "Reaction ~ Days + (1 | Subject)", "lme4_sleepstudy", "gaussian", "identity", T(Reaction ~ Days + (1 | Subject), ss, gaussian)))
try_put("m", tmb_put("glmm_ohio_weights_tmb", "resp ~ age * smoke + (1 | id)", "geepack_ohio", "binomial", "logit", glmmTMB(resp ~ age * smoke + (1 | id), oh, binomial, weights = w, control = con), weights = "1 + id % 3 (the log-likelihood of a row is multiplied by its weight)"))

# ---------------------------------------------------------------- GLMM by glmer: Laplace and adaptive Gauss-Hermite quadrature
bob <- glmerControl(optimizer = "bobyqa", optCtrl = list(maxfun = 2e5, rhoend = 1e-10), tolPwrss = 1e-12, calc.derivs = FALSE)
agq_put <- function(id, formula, data, family, link, fm, d, fam, k, const = 0, ...) {
  f <- glmer(fm, d, fam, nAGQ = k, control = bob); dv <- update(f, devFunOnly = TRUE); p <- c(getME(f, "theta"), fixef(f)); step <- NA
  sc <- 0.1 * c(max(p[1] * .2, .02), sqrt(diag(as.matrix(vcov(f, use.hessian = FALSE)))))
  for (it in 1:3) { H <- hess6(dv, p, sc); for (j in 1:3) { step <- -solve(H, grad6(dv, p, sc)); p <- p + step }; if (max(abs(step)) < 1e-9) break }
  V <- solve(hess6(dv, p, sc) / 2); d0 <- dv(p); b <- environment(dv)$pp$b(1); bn <- names(fixef(f)); raw <- as.numeric(logLik(f))
  put(id, list(kind = "glmm", formula = formula, data = data, family = family, link = link, points = k, ..., coef = nl(setNames(p[-1], bn)), se = nl(setNames(sqrt(diag(V))[-1], bn)), vcov = mat(V[-1, -1, drop = FALSE]),
    theta = p[[1]], sd = p[[1]], sd_se = sqrt(V[1, 1]), log_sd_se = sqrt(V[1, 1]) / p[[1]], loglik = -d0 / 2 + (if (k > 1) const else 0), loglik_printed_by_glmer = raw, ranef = nl(setNames(b, levels(f@flist[[1]]))),
    newton_step = max(abs(step)), note = paste0(ver("lme4"), ", glmer(nAGQ = ", k, ", bobyqa, tolPwrss = 1e-12, then Newton on lme4's deviance function); se from the Hessian of the deviance in (theta, coef) jointly; ranef = conditional modes; ",
    "loglik is the full log-likelihood", if (k > 1 && const != 0) " (glmer leaves out the saturated model's log-likelihood when nAGQ > 1: added here)" else "")))
}
gtc <- sum(dpois(gt$TICKS, gt$TICKS, log = TRUE)); cbc <- sum(dbinom(cb$incidence, cb$size, cb$incidence / cb$size, log = TRUE)); szc <- sum(dpois(sz$y, sz$y, log = TRUE))
for (k in c(1, 5, 15)) {
  try_put("n", agq_put(paste0("glmm_ticks_brood_", k), "TICKS ~ C(YEAR) + cHEIGHT + (1 | BROOD)", "lme4_grouseticks", "poisson", "log", TICKS ~ YEAR + cHEIGHT + (1 | BROOD), gt, poisson, k, gtc))
  try_put("o", agq_put(paste0("glmm_cbpp_logit_", k), "incidence / size ~ C(period) + (1 | herd)", "lme4_cbpp", "binomial", "logit", cbind(incidence, size - incidence) ~ period + (1 | herd), cb, binomial, k, cbc))
  try_put("p", agq_put(paste0("glmm_seizure_offset_", k), "y ~ trt * post + (1 | id)", "seizure_long", "poisson", "log", y ~ trt * post + offset(logweeks) + (1 | id), sz, poisson, k, szc, offset = "log(weeks)"))
  if (k > 1) {
    try_put("q", agq_put(paste0("glmm_ohio_probit_", k), "resp ~ age * smoke + (1 | id)", "geepack_ohio", "binomial", "probit", resp ~ age * smoke + (1 | id), oh, binomial("probit"), k))
    try_put("r", agq_put(paste0("glmm_ohio_cloglog_", k), "resp ~ age * smoke + (1 | id)", "geepack_ohio", "binomial", "cloglog", resp ~ age * smoke + (1 | id), oh, binomial("cloglog"), k))
  }
}
for (k in c(1, 5)) {                                              # at the boundary
  f <- glmer(y ~ x + (1 | g), sb, binomial, nAGQ = k, control = bob); g0 <- glm(y ~ x, binomial, sb, control = gc0); dv <- update(f, devFunOnly = TRUE); t0 <- getME(f, "theta")
  slope <- (dv(c(0.05, coef(g0))) - dv(c(0, coef(g0)))) / 0.05^2  # deviance rises with theta^2
  m <- try(glmmTMB(y ~ x + (1 | g), sb, binomial), silent = TRUE)
  put(paste0("glmm_boundary_", k), list(kind = "glmm", formula = "y ~ x + (1 | g)", data = "sim_boundary", family = "binomial", link = "logit", points = k, coef = nl(coef(g0)), se = nl(coef(summary(g0))[, 2]), loglik = as.numeric(logLik(g0)),
    theta = 0, sd = 0, theta_by_glmer = as.numeric(t0), loglik_by_glmer = as.numeric(logLik(f)), coef_by_glmer = nl(fixef(f)), deviance_slope_in_theta2 = as.numeric(slope),
    sd_by_glmmTMB = as.numeric(attr(VarCorr(m)$cond[[1]], "stddev")), loglik_by_glmmTMB = -m$fit$objective,
    note = paste0(ver("lme4", "glmmTMB"), ", glmer(nAGQ = ", k, "): variance estimated as 0, so the fit is glm's (coef, se, loglik are glm's); deviance_slope_in_theta2 > 0 proves that 0 is a local optimum")))
}

# ---------------------------------------------------------------- GEE by geepack (rows sorted by cluster)
tight <- geese.control(epsilon = 1e-11, maxit = 500)
gee_put <- function(id, formula, data, groups, family, link, corr, f, ...) {
  s <- f$geese
  put(id, list(kind = "gee", rule = "geepack", formula = formula, data = data, groups = groups, family = family, link = link, corr = corr, ..., coef = nl(coef(f)), se = nl(setNames(sqrt(diag(s$vbeta)), names(coef(f)))),
    se_model = nl(setNames(sqrt(diag(s$vbeta.naiv)), names(coef(f)))), vcov = mat(s$vbeta), vcov_model = mat(s$vbeta.naiv), alpha = num(s$alpha), phi = as.numeric(s$gamma), clusters = length(s$clusz), max_cluster = max(s$clusz),
    note = paste0(ver("geepack"), ", geeglm(epsilon = 1e-11); se = robust (no small-sample factor), se_model = naive (with phi); phi and alpha by geepack's rule: phi = sum e^2 / N, alpha from its second estimating equation")))
}
G <- function(fm, d, id, fam, cs, w = NULL, waves = NULL) { d$.id <- id; d$.w <- if (is.null(w)) 1 else w; a <- list(formula = fm, data = d, id = quote(.id), weights = quote(.w), family = fam, corstr = cs, control = tight); if (!is.null(waves)) { d$.v <- waves; a$data <- d; a$waves <- quote(.v) }; do.call(geeglm, a) }
tl <- list(trt = c("placebo", "progabide"))
for (cs in c("independence", "exchangeable", "ar1")) {
  gee_put(paste0("gee_epil_", cs), "y ~ lbase * C(trt) + V4", "MASS_epil", "subject", "poisson", "log", cs, G(y ~ lbase * trt + V4 + offset(log2), ep, ep$subject, poisson, cs), offset = "log(2)", levels = tl)
  gee_put(paste0("gee_seizure_", cs), "y ~ trt * post", "seizure_long", "id", "poisson", "log", cs, G(y ~ trt * post + offset(logweeks), sz, sz$id, poisson, cs), offset = "log(weeks)")
  gee_put(paste0("gee_sleep_", cs), "Reaction ~ Days", "lme4_sleepstudy", "Subject", "gaussian", "identity", cs, G(Reaction ~ Days, ss, as.integer(ss$Subject), gaussian, cs))
  gee_put(paste0("gee_ohio_weights_", cs), "resp ~ age * smoke", "geepack_ohio", "id", "binomial", "logit", cs, G(resp ~ age * smoke, oh, oh$id, binomial, cs, w = oh$w), weights = "1 + id % 3")
  gee_put(paste0("gee_toenail_waves_", cs), "y ~ C(treatment) * time", "HSAUR3_toenail", "patientID", "binomial", "logit", cs, G(y ~ treatment * time, to, to$patientID, binomial, cs, waves = to$visit), waves = "visit", response = "y = outcome == 'moderate or severe'")
}
for (cs in c("exchangeable", "ar1")) gee_put(paste0("gee_ohio_probit_", cs), "resp ~ age * smoke", "geepack_ohio", "id", "binomial", "probit", cs, G(resp ~ age * smoke, oh, oh$id, binomial("probit"), cs))
for (cs in c("independence", "exchangeable")) gee_put(paste0("gee_ohio_cloglog_", cs), "resp ~ age * smoke", "geepack_ohio", "id", "binomial", "cloglog", cs, G(resp ~ age * smoke, oh, oh$id, binomial("cloglog"), cs))

# ---------------------------------------------------------------- GEE by the package gee: its exchangeable rule is the "standard" one (phi = sum e^2 / (N - p))
rgee_put <- function(id, formula, data, groups, family, link, corr, fm, d, cl, fam, ...) {
  d$.id <- cl; a <- list(formula = fm, id = quote(.id), data = d, family = fam, corstr = corr, tol = 1e-12, maxiter = 500, silent = TRUE)
  sink("/dev/null"); f <- suppressMessages(do.call(gee, a)); sink()
  nm <- names(coef(f)); mx <- max(table(cl)); al <- if (corr == "exchangeable") f$working.correlation[1, 2] else NULL
  put(id, list(kind = "gee", rule = "standard", formula = formula, data = data, groups = groups, family = family, link = link, corr = corr, ..., coef = nl(coef(f)), se = nl(setNames(sqrt(diag(f$robust.variance)), nm)),
    se_model = nl(setNames(sqrt(diag(f$naive.variance)), nm)), vcov = mat(f$robust.variance), vcov_model = mat(f$naive.variance), alpha = num(al), phi = f$scale, clusters = length(unique(cl)), max_cluster = as.integer(mx),
    note = paste0(ver("gee"), ", gee(tol = 1e-12); se = robust, se_model = naive (with phi)")))
}
oi <- "exchangeable"
for (cs in c("independence", "exchangeable")) {
  rgee_put(paste0("rgee_ohio_", cs), "resp ~ age * smoke", "geepack_ohio", "id", "binomial", "logit", cs, resp ~ age * smoke, oh, oh$id, binomial)
  rgee_put(paste0("rgee_toenail_", cs), "y ~ C(treatment) * time", "HSAUR3_toenail", "patientID", "binomial", "logit", cs, y ~ treatment * time, to, to$patientID, binomial, response = "y = outcome == 'moderate or severe'")
  rgee_put(paste0("rgee_toenail_month_", cs), "y ~ C(treatment) * month", "HSAUR3_toenail", "patientID", "binomial", "logit", cs, y ~ treatment * month, to, to$patientID, binomial, response = "y = outcome == 'moderate or severe'", derived = "month = [0, 1, 2, 3, 6, 9, 12][visit - 1]")
  rgee_put(paste0("rgee_epil_", cs), "y ~ lbase * C(trt) + V4", "MASS_epil", "subject", "poisson", "log", cs, y ~ lbase * trt + V4 + offset(log2), ep, ep$subject, poisson, offset = "log(2)", levels = tl)
  rgee_put(paste0("rgee_seizure_", cs), "y ~ trt * post", "seizure_long", "id", "poisson", "log", cs, y ~ trt * post + offset(logweeks), sz, sz$id, poisson, offset = "log(weeks)")
  rgee_put(paste0("rgee_sleep_", cs), "Reaction ~ Days", "lme4_sleepstudy", "Subject", "gaussian", "identity", cs, Reaction ~ Days, ss, as.integer(ss$Subject), gaussian)
}
rgee_put("rgee_ohio_probit_exchangeable", "resp ~ age * smoke", "geepack_ohio", "id", "binomial", "probit", oi, resp ~ age * smoke, oh, oh$id, binomial("probit"))
write_json(res, file.path(out, "more.json"), auto_unbox = TRUE, digits = NA, pretty = TRUE, null = "null", dataframe = "columns")

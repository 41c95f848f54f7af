# Tests, profile limits and residuals of GLMs: stats::anova, car::Anova, MASS::confint, glm.nb, lme4 likelihoods -> glm_tests.json.
# Data: made here from a fixed formula, no random numbers; lme4's sleepstudy and cbpp.
# Run: Rscript glm_tests.R (R >= 4.0, car, MASS, lme4, statmod, jsonlite).
suppressMessages({library(jsonlite); library(MASS); library(car); library(lme4); library(statmod)})
n <- 90
i <- seq_len(n)
x <- round(cos(1.7 * i), 3)
v <- round(sin(0.9 * i) + 0.3 * x, 3)
f <- factor(c("a", "b", "c")[1 + (i * i) %% 7 %% 3])
g <- factor(c("u", "v")[1 + (i * 5) %% 11 %% 2])
z <- round(exp(0.4 + 0.3 * x + 0.25 * (f == "b") + 0.6 * sin(2.3 * i^1.3)), 4)
k <- floor(z * (1 + 2 * (sin(i * i) + 1)))
b <- as.integer(sin(3.1 * i) + x + 0.4 * (g == "v") > 0.2)
m <- 5 + i %% 7
s <- round(m / (1 + exp(-0.3 - 0.5 * x - 0.3 * (f == "c") - 0.5 * sin(1.9 * i))))
w <- 1 + i %% 4
e <- round(0.5 + (i %% 5) / 3, 3)
y <- round(2 + 0.5 * x - 0.3 * v + 0.4 * (f == "b") + sin(4.1 * i), 4)
d <- data.frame(x, v, f, g, z, k, b, m, s, w, e, y)
tight <- glm.control(epsilon = 1e-15, maxit = 200)
res <- list(data = as.list(transform(d, f = as.character(f), g = as.character(g))))
cols <- function(a, ...) lapply(list(...), function(name) a[[name]])
seq_table <- function(fit) {
  dispersion_known <- summary(fit)$dispersion == 1
  a <- anova(fit, test = "Chisq"); r <- anova(fit, test = "Rao")
  out <- list(term = rownames(a), df = a$Df, deviance = a$Deviance, resid_df = a[["Resid. Df"]], resid_deviance = a[["Resid. Dev"]], chi2_p = a[["Pr(>Chi)"]], rao = r$Rao / summary(fit)$dispersion)
  if (!dispersion_known) { h <- anova(fit, test = "F"); out$F <- h$F; out$F_p <- h[["Pr(>F)"]] }
  out
}
car_table <- function(fit, type) {
  l <- Anova(fit, type = type, test.statistic = "LR", singular.ok = FALSE); q <- Anova(fit, type = type, test.statistic = "Wald")
  out <- list(term = rownames(l), lr = l[["LR Chisq"]], df = l$Df, lr_p = l[["Pr(>Chisq)"]])
  at <- match(rownames(l), rownames(q)); out$wald <- q$Chisq[at]; if (is.null(out$wald[1])) out$wald <- q$F[at] * q$Df[at]
  if (summary(fit)$dispersion != 1) { h <- Anova(fit, type = type, test.statistic = "F"); h <- h[rownames(h) != "Residuals", ]; out$F <- h[["F value"]]; if (is.null(out$F)) out$F <- h$F; out$F_p <- h[["Pr(>F)"]] }
  out
}
limits <- function(fit, target) {  # where the change of the deviance over the dispersion is target^2
  X <- model.matrix(fit); p <- ncol(X); phi <- summary(fit)$dispersion; off <- if (is.null(fit$offset)) rep(0, nrow(X)) else fit$offset
  se <- sqrt(diag(vcov(fit)))
  t(sapply(seq_len(p), function(j) sapply(c(-1, 1), function(side) {
    rise <- function(t) {
      h <- suppressWarnings(glm.fit(X[, -j, drop = FALSE], fit$y, fit$prior.weights, offset = off + X[, j] * (coef(fit)[j] + side * t), family = fit$family, control = tight, intercept = FALSE,
        etastart = if (fit$family$link == "inverse") fit$linear.predictors else NULL))
      sqrt(max((h$deviance - fit$deviance) / phi, 0)) - target
    }
    coef(fit)[j] + side * uniroot(rise, target * se[j] * c(0.5, 1.7), tol = 1e-12)$root
  })))
}
z975 <- qnorm(0.975)
put <- function(id, formula, family, glimm, name, link, weights = NULL, offset = NULL, response = NULL) {
  call <- function() eval(bquote(glm(.(formula), family = .(family), data = d, weights = .(weights), offset = .(offset), control = tight)))
  options(contrasts = c("contr.treatment", "contr.poly")); fit <- call()
  options(contrasts = c("contr.sum", "contr.poly")); sums <- call(); three <- car_table(sums, 3)
  options(contrasts = c("contr.treatment", "contr.poly"))
  mass <- suppressMessages(confint(profile(fit, del = z975 / 60, maxsteps = 200, alpha = 0.01)))
  res[[id]] <<- list(formula = glimm, family = name, link = link, weights = if (is.null(weights)) NULL else deparse(weights), offset = if (is.null(offset)) NULL else deparse(offset),
    scale = summary(fit)$dispersion, one = seq_table(fit), two = car_table(fit, 2), three = three, limits = limits(fit, z975), mass = unname(mass),
    hat = unname(hatvalues(fit)), cooks = unname(cooks.distance(fit)), rstandard = unname(rstandard(fit)), rstandard_pearson = unname(rstandard(fit, type = "pearson")), rstudent = unname(rstudent(fit)),
    working = unname(residuals(fit, "working")), quantile = if (name %in% c("gaussian", "gamma", "inverse_gaussian")) unname(switch(name, gaussian = qresiduals(fit), gamma = qres.gamma(fit, summary(fit)$dispersion), qres.invgauss(fit, summary(fit)$dispersion))) else NULL)
  cat(id, "ok\n")
}
put("binomial", b ~ x + f * g, quote(binomial), "b ~ x + f * g", "binomial", "logit")
put("trials", cbind(s, m - s) ~ f * x + g, quote(binomial), "s / m ~ f * x + g", "binomial", "logit")
put("probit", cbind(s, m - s) ~ f + x, quote(binomial("probit")), "s / m ~ f + x", "binomial", "probit")
put("cloglog_weights", b ~ x + f, quote(binomial("cloglog")), "b ~ x + f", "binomial", "cloglog", weights = quote(w))
put("poisson", k ~ f * g + x + v, quote(poisson), "k ~ f * g + x + v", "poisson", "log")
put("poisson_offset", k ~ f + x * v, quote(poisson), "k ~ f + x * v", "poisson", "log", offset = quote(log(e)))
put("gamma", z ~ f * g + x, quote(Gamma("log")), "z ~ f * g + x", "gamma", "log")
put("gamma_weights", z ~ f + x, quote(Gamma("log")), "z ~ f + x", "gamma", "log", weights = quote(w))
put("gamma_inverse", z ~ x + v, quote(Gamma), "z ~ x + v", "gamma", "inverse")
put("inverse_gaussian", z ~ f + x, quote(inverse.gaussian("log")), "z ~ f + x", "inverse_gaussian", "log")
put("gaussian", y ~ f * x + g, quote(gaussian), "y ~ f * x + g", "gaussian", "identity")
put("gaussian_weights", y ~ f * x + v, quote(gaussian), "y ~ f * x + v", "gaussian", "identity", weights = quote(w))
put("gaussian_log", z ~ f + x, quote(gaussian("log")), "z ~ f + x", "gaussian", "log")
put("quasipoisson", k ~ f * g + x + v, quote(quasipoisson), "k ~ f * g + x + v", "quasipoisson", "log")
put("quasibinomial", cbind(s, m - s) ~ f + x, quote(quasibinomial), "s / m ~ f + x", "quasibinomial", "logit")

# negative binomial with k estimated in every model
nb <- function(formula, off = rep(0, n)) {
  d$off <- off
  formula <- update(formula, . ~ . + offset(off))
  fit <- suppressWarnings(glm.nb(formula, d, control = glm.control(epsilon = 1e-14, maxit = 200)))
  environment(formula) <- environment()
  for (r in 1:60) {  # glm.nb alternates: to its joint end
    theta <- as.numeric(theta.ml(d$k, fitted(fit), n, limit = 200, eps = 1e-14))
    fit <- glm(formula, negative.binomial(theta), d, control = tight, start = coef(fit))
  }
  list(fit = fit, theta = theta, llf = sum(dnbinom(d$k, theta, mu = fitted(fit), log = TRUE)))
}
sizes <- c("1", "x", "x + f", "x + f + g")
llf <- sapply(sizes, function(rhs) nb(as.formula(paste("k ~", rhs)))$llf)
best <- nb(k ~ x + v)
slope_se <- summary(best$fit, dispersion = 1)$coefficients["x", 2]
nb_limits <- sapply(c(-1, 1), function(side) coef(best$fit)[["x"]] + side * uniroot(function(t) sqrt(max(0, 2 * (best$llf - nb(k ~ v, d$x * (coef(best$fit)[["x"]] + side * t))$llf))) - z975, z975 * slope_se * c(0.5, 1.7), tol = 1e-9)$root)
fixed <- glm(k ~ x + f + g, negative.binomial(2), d, control = tight)
a <- anova(fixed, test = "Chisq", dispersion = 1)
res$nb <- list(formula = "k ~ x + f + g", llf = unname(llf), profile_formula = "k ~ x + v", x = nb_limits, fixed_deviance = a$Deviance, fixed_p = a[["Pr(>Chi)"]])
cat("nb ok\n")

# likelihood ratios of nested fits
two <- function(a, b) as.numeric(2 * (logLik(b) - logLik(a)))
cb <- cbpp; cb$y <- cb$incidence
lin <- lmerControl(optCtrl = list(rhoend = 1e-10)); gl <- glmerControl(optimizer = "bobyqa", tolPwrss = 1e-12, optCtrl = list(rhoend = 1e-10))
l0 <- lm(Reaction ~ Days, sleepstudy); m1 <- lmer(Reaction ~ Days + (1 | Subject), sleepstudy, REML = FALSE, control = lin)
m2 <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy, REML = FALSE, control = lin); m0 <- lmer(Reaction ~ 1 + (1 | Subject), sleepstudy, REML = FALSE, control = lin)
r1 <- lmer(Reaction ~ Days + (1 | Subject), sleepstudy, control = lin); r2 <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy, control = lin); r3 <- lmer(Reaction ~ Days + (Days || Subject), sleepstudy, control = lin)
half <- function(t, q) 0.5 * pchisq(t, q, lower.tail = FALSE) + 0.5 * pchisq(t, q - 1, lower.tail = FALSE)
b0 <- glm(cbind(incidence, size - incidence) ~ period, binomial, cbpp, control = tight)
b1 <- glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp, binomial, nAGQ = 1, control = gl); b2 <- glmer(cbind(incidence, size - incidence) ~ 1 + (1 | herd), cbpp, binomial, nAGQ = 1, control = gl)
lr <- function(t, df, p) list(statistic = t, df = df, p = p)
chi <- function(t, q) pchisq(t, q, lower.tail = FALSE)
res$lrt <- list(
  lm_in_lmm = lr(two(l0, m1), 1, half(two(l0, m1), 1)), fixed = lr(two(m0, m1), 1, chi(two(m0, m1), 1)), slope = lr(two(m1, m2), 2, half(two(m1, m2), 2)),
  reml_slope = lr(two(r1, r2), 2, half(two(r1, r2), 2)), reml_correlation = lr(two(r3, r2), 1, chi(two(r3, r2), 1)), both = lr(two(l0, m2), 3, chi(two(l0, m2), 3)),
  glm_in_glmm = lr(two(b0, b1), 1, half(two(b0, b1), 1)), glmm_fixed = lr(two(b2, b1), 3, chi(two(b2, b1), 3)))
res$versions <- paste("R", getRversion(), "car", packageVersion("car"), "MASS", packageVersion("MASS"), "lme4", packageVersion("lme4"), "statmod", packageVersion("statmod"))
write_json(res, "glm_tests.json", auto_unbox = TRUE, digits = NA, null = "null", na = "null", pretty = FALSE)

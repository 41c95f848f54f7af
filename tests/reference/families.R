# GLMs of further families and links by stats::glm, MASS::glm.nb and glmmTMB (no random effects) -> families.json. Data: made here from a fixed formula, no random numbers.
# Run: Rscript families.R (R >= 4.0, MASS, glmmTMB, jsonlite).
library(jsonlite)
library(MASS)
n <- 60
i <- seq_len(n)
x <- round(cos(1.7 * i), 3)
f <- c("a", "b", "c")[1 + (i %% 3)]
z <- round(exp(0.4 + 0.5 * x + 0.6 * sin(2.3 * i^1.3)), 4)
k <- floor(z * (1 + 3 * (sin(i * i) + 1)))
b <- as.integer(sin(3.1 * i) + x > 0.2)
m <- 5 + i %% 7
s <- round(m / (1 + exp(-0.3 - 0.8 * x - 0.5 * sin(1.9 * i))))
w <- 1 + i %% 4
d <- data.frame(x, f, z, k, b, m, s, w)
tight <- glm.control(epsilon = 1e-15, maxit = 200)
res <- list(data = as.list(d))
put <- function(id, fit, formula, family, link, phi = NULL, weights = NULL) {
  v <- summary(fit)
  res[[id]] <<- list(formula = formula, family = family, link = link, weights = weights, coef = unname(coef(fit)), se = unname(sqrt(diag(vcov(fit)))),
    deviance = fit$deviance, scale = if (is.null(phi)) v$dispersion else phi)
}
for (l in c("inverse", "log", "identity")) put(paste0("gamma_", l), glm(z ~ x, Gamma(l), d, control = tight, start = if (l == "identity") c(2, 0.5) else NULL), "z ~ x", "gamma", l)
put("gamma_weights", glm(z ~ x + f, Gamma("log"), d, weights = w, control = tight), "z ~ x + f", "gamma", "log", weights = "w")
for (l in c("1/mu^2", "inverse", "log")) put(paste0("ig_", l), glm(z ~ x, inverse.gaussian(l), d, control = tight), "z ~ x", "inverse_gaussian", c("1/mu^2" = "inverse_squared", inverse = "inverse", log = "log")[[l]])
put("gaussian_inverse", glm(z ~ x, gaussian("inverse"), d, control = tight, start = c(0.6, -0.1)), "z ~ x", "gaussian", "inverse")
put("gaussian_power", glm(z ~ x, quasi(power(0.4), "constant"), d, control = tight), "z ~ x", "gaussian", "power(0.4)")
put("poisson_sqrt", glm(k ~ x + f, poisson("sqrt"), d, control = tight), "k ~ x + f", "poisson", "sqrt")
put("binomial_cauchit", glm(b ~ x, binomial("cauchit"), d, control = tight), "b ~ x", "binomial", "cauchit")
put("binomial_cauchit_trials", glm(cbind(s, m - s) ~ x, binomial("cauchit"), d, control = tight), "s / m ~ x", "binomial", "cauchit")
loglog <- structure(list(linkfun = function(mu) -log(-log(mu)), linkinv = function(eta) exp(-exp(-eta)), mu.eta = function(eta) exp(-eta - exp(-eta)),
  valideta = function(eta) TRUE, name = "loglog"), class = "link-glm")
put("binomial_loglog", glm(cbind(s, m - s) ~ x + f, binomial(loglog), d, control = tight), "s / m ~ x + f", "binomial", "loglog")
nb <- function(formula, l) {
  fit <- do.call(glm.nb, list(formula, d, link = l, control = glm.control(epsilon = 1e-14, maxit = 200)))
  for (r in 1:20) {  # glm.nb alternates: to its joint end
    theta <- as.numeric(theta.ml(d$k, fitted(fit), n, limit = 200, eps = 1e-14))
    fit <- glm(formula, negative.binomial(theta, l), d, control = tight, start = coef(fit))
  }
  list(fit = fit, theta = theta, se = attr(theta.ml(d$k, fitted(fit), n, limit = 200, eps = 1e-14), "SE"), llf = sum(dnbinom(d$k, theta, mu = fitted(fit), log = TRUE)))
}
for (l in c("log", "sqrt")) {
  r <- nb(k ~ x + f, l)
  id <- paste0("nb_", l)
  fit <- r$fit
  res[[id]] <- list(formula = "k ~ x + f", family = "negative_binomial", link = l, weights = NULL, coef = unname(coef(fit)), se = unname(sqrt(diag(summary(fit, dispersion = 1)$cov.scaled))),
    deviance = fit$deviance, scale = 1, k = r$theta, llf = r$llf)
}
fit <- glm(k ~ x + f, negative.binomial(2), d, control = tight)
res$nb_given <- list(formula = "k ~ x + f", family = "negative_binomial(2)", link = "log", weights = NULL, coef = unname(coef(fit)), se = unname(sqrt(diag(summary(fit, dispersion = 1)$cov.scaled))),
  deviance = fit$deviance, scale = 1, llf = sum(dnbinom(d$k, 2, mu = fitted(fit), log = TRUE)))
# log-likelihoods at the maximum-likelihood dispersion, by optimize
shape <- function(fit, w) { g <- function(lp) sum(dgamma(d$z, w / exp(lp), scale = fitted(fit) * exp(lp) / w, log = TRUE)); o <- optimize(g, c(-6, 3), maximum = TRUE, tol = 1e-12); list(phi = exp(o$maximum), llf = o$objective) }
for (id in c("gamma_log", "gamma_weights")) { fit <- if (id == "gamma_log") glm(z ~ x, Gamma("log"), d, control = tight) else glm(z ~ x + f, Gamma("log"), d, weights = w, control = tight)
  o <- shape(fit, if (id == "gamma_log") 1 else w); res[[id]]$phi <- o$phi; res[[id]]$llf <- o$llf }
fit <- glm(z ~ x, inverse.gaussian("log"), d, control = tight); res$ig_log$llf <- -AIC(fit) / 2 + 3; res$ig_log$phi <- fit$deviance / n
suppressMessages(library(glmmTMB))
d$u <- round(plogis(0.2 + 0.7 * x + 0.8 * sin(2.9 * i)), 4)
d$t <- round(ifelse(sin(1.3 * i^1.2) > 0.4, 0, exp(0.3 + 0.4 * x + 0.5 * sin(4.1 * i))), 4)
res$data <- as.list(d)
con <- glmmTMBControl(optCtrl = list(iter.max = 1e4, eval.max = 1e4, rel.tol = 1e-14, x.tol = 1e-12))
tmb <- function(id, formula, fm, fam, family, link, named) {
  f <- glmmTMB(fm, d, fam, control = con)
  o <- f$obj; p <- f$fit$par
  for (it in 1:20) p <- p - solve(numDeriv::jacobian(o$gr, p), as.numeric(o$gr(p)))
  v <- solve(numDeriv::jacobian(o$gr, p))
  b <- which(names(p) == "beta")
  res[[id]] <<- c(list(formula = formula, family = family, link = link, weights = NULL, coef = unname(p[b]), se = unname(sqrt(diag(v))[b]), llf = -o$fn(p), joint = TRUE), named(p[names(p) != "beta"], sqrt(diag(v))[names(p) != "beta"]))
}
tmb("nb1_log", "k ~ x + f", k ~ x + f, nbinom1, "negative_binomial1", "log", function(p, s) list(alpha = exp(p[[1]]), alpha_se = exp(p[[1]]) * s[[1]]))
tmb("beta_logit", "u ~ x", u ~ x, beta_family(), "beta", "logit", function(p, s) list(precision = exp(p[[1]]), precision_se = exp(p[[1]]) * s[[1]]))
tmb("beta_cloglog", "u ~ x", u ~ x, beta_family("cloglog"), "beta", "cloglog", function(p, s) list(precision = exp(p[[1]]), precision_se = exp(p[[1]]) * s[[1]]))
tmb("tweedie_log", "t ~ x", t ~ x, tweedie, "tweedie", "log", function(p, s) list(phi = exp(p[[1]]), power = 1 + plogis(p[[2]]), power_se = plogis(p[[2]]) * (1 - plogis(p[[2]])) * s[[2]]))
res$versions <- paste("R", getRversion(), "MASS", packageVersion("MASS"), "glmmTMB", packageVersion("glmmTMB"))
write_json(res, "families.json", auto_unbox = TRUE, digits = NA, null = "null", pretty = FALSE)

# Quasi families, dispersions, kinds of weights and robust errors of GLMs by stats::glm, survey 4.1 and sandwich 3.0 -> weights_scale.json.
# Data: made here from a fixed formula, no random numbers. Run: Rscript weights_scale.R (R >= 4.0, survey, sandwich, jsonlite).
suppressMessages({library(jsonlite); library(survey); library(sandwich)})
n <- 60
i <- seq_len(n)
x <- round(cos(1.7 * i), 3)
f <- c("a", "b", "c")[1 + (i %% 3)]
z <- round(exp(0.4 + 0.5 * x + 0.6 * sin(2.3 * i^1.3)), 4)
k <- floor(z * (1 + 3 * (sin(i * i) + 1)))
m <- 5 + i %% 7
s <- round(m / (1 + exp(-0.3 - 0.8 * x - 0.5 * sin(1.9 * i))))
u <- round(plogis(0.2 + 0.7 * x + 0.8 * sin(2.9 * i)), 4)
b <- as.integer(sin(3.1 * i) + x > 0.2)
w <- 1 + i %% 4
v <- round(exp(1.2 * sin(0.9 * i)), 3)
g <- 1 + (i * 7) %% 12
h <- 1 + (i * 3) %% 10
d <- data.frame(x, f, z, k, m, s, u, b, w, v, g, h)
tight <- glm.control(epsilon = 1e-15, maxit = 200)
res <- list(data = as.list(d), fits = list(), robust = list())
put <- function(formula, family, fit, link = NULL, ..., cov = vcov(fit), scale = summary(fit)$dispersion) {
  res$fits[[length(res$fits) + 1]] <<- c(list(formula = formula, family = family, link = link, coef = unname(coef(fit)), se = unname(sqrt(diag(cov))),
    scale = scale, deviance = deviance(fit), df_resid = df.residual(fit)), list(...))
}
# quasi families
put("z ~ x + f", "quasipoisson", glm(z ~ x + f, quasipoisson, d, control = tight))
put("k ~ x", "quasipoisson", glm(k ~ x, quasipoisson("sqrt"), d, control = tight), link = "sqrt")
put("u ~ x + f", "quasibinomial", glm(u ~ x + f, quasibinomial, d, control = tight))
put("s / m ~ x", "quasibinomial", glm(cbind(s, m - s) ~ x, quasibinomial("probit"), d, control = tight), link = "probit")
for (p in 0:3) put("z ~ x + f", sprintf("quasi(%d)", p), glm(z ~ x + f, do.call(quasi, list(link = "log", variance = c("constant", "mu", "mu^2", "mu^3")[p + 1])), d, control = tight), link = "log")
# dispersions
for (one in list(list("k ~ x + f", "poisson", glm(k ~ x + f, poisson, d, control = tight)), list("s / m ~ x", "binomial", glm(cbind(s, m - s) ~ x, binomial, d, control = tight)),
                 list("z ~ x", "gamma", glm(z ~ x, Gamma("log"), d, control = tight)), list("z ~ x", "gaussian", glm(z ~ x, gaussian, d)))) {
  fit <- one[[3]]
  unscaled <- summary(fit)$cov.unscaled
  rules <- list(pearson = sum(resid(fit, "pearson")^2) / df.residual(fit), deviance = deviance(fit) / df.residual(fit), fixed = 2.5)
  if (one[[2]] == "gaussian") rules$ml <- deviance(fit) / n
  if (one[[2]] == "gamma") rules$ml <- exp(optimize(function(lp) sum(dgamma(d$z, exp(-lp), scale = fitted(fit) * exp(lp), log = TRUE)), c(-6, 3), maximum = TRUE, tol = 1e-13)$maximum)
  for (rule in names(rules)) {
    llf <- as.numeric(logLik(fit))
    if (one[[2]] == "gaussian" && rule == "fixed") llf <- sum(dnorm(d$z, fitted(fit), sqrt(2.5), log = TRUE))
    if (one[[2]] == "gamma") llf <- sum(dgamma(d$z, 1 / (if (rule == "fixed") 2.5 else rules$ml), scale = fitted(fit) * (if (rule == "fixed") 2.5 else rules$ml), log = TRUE))
    put(one[[1]], one[[2]], fit, link = if (one[[2]] == "gamma") "log", cov = unscaled * rules[[rule]], scale = rules[[rule]], rule = rule, llf = llf)
  }
}
# frequency weights: the rows repeated
long <- d[rep(i, w), ]
hc <- function(fit) lapply(setNames(nm = c("HC0", "HC1", "HC2", "HC3")), function(t) unname(sqrt(diag(vcovHC(fit, type = t)))))
for (one in list(list("k ~ x + f", "poisson", glm(k ~ x + f, poisson, long, control = tight)), list("z ~ x", "inverse_gaussian", glm(z ~ x, inverse.gaussian("log"), long, control = tight)),
                 list("z ~ x + f", "gaussian", glm(z ~ x + f, gaussian, long)), list("b ~ x", "binomial", glm(b ~ x, binomial, long, control = tight)),
                 list("z ~ x", "gamma", glm(z ~ x, Gamma("log"), long, control = tight))))
  put(one[[1]], one[[2]], one[[3]], link = if (one[[2]] %in% c("inverse_gaussian", "gamma")) "log", weights = "frequency", nobs = nrow(long),
    llf = if (one[[2]] != "gamma") as.numeric(logLik(one[[3]])), bic = if (one[[2]] != "gamma") BIC(one[[3]]), hc = hc(one[[3]]))
# sampling weights
rows <- svydesign(ids = ~1, weights = ~v, data = d)
drawn <- svydesign(ids = ~g, weights = ~v, data = d)
for (one in list(list("z ~ x + f", "gaussian", gaussian(), NULL), list("b ~ x", "binomial", quasibinomial(), NULL), list("s / m ~ x", "binomial", quasibinomial(), NULL),
                 list("k ~ x + f", "poisson", quasipoisson(), NULL), list("z ~ x", "gamma", Gamma("log"), "log"))) {
  formula <- if (one[[1]] == "s / m ~ x") cbind(s, m - s) ~ x else as.formula(one[[1]])
  fit <- svyglm(formula, rows, family = one[[3]], control = tight)
  clustered <- svyglm(formula, drawn, family = one[[3]], control = tight)
  res$fits[[length(res$fits) + 1]] <- list(formula = one[[1]], family = one[[2]], link = one[[4]], weights = "sampling", coef = unname(coef(fit)), se = unname(sqrt(diag(vcov(fit)))),
    clustered = unname(sqrt(diag(vcov(clustered)))))
}
# robust errors
full <- function(fit, p) {
  changes <- t(sapply(i, function(j) coef(update(fit, data = d[-j, ])) - coef(fit)))
  unname(sqrt(diag((n - p) / n * crossprod(changes))))
}
for (one in list(list("k ~ x + f", "poisson", glm(k ~ x + f, poisson, d, control = tight)), list("z ~ x", "gamma", glm(z ~ x, Gamma("log"), d, control = tight)),
                 list("z ~ x + f", "gaussian", glm(z ~ x + f, gaussian, d)))) {
  fit <- one[[3]]
  p <- length(coef(fit))
  se <- function(v) unname(sqrt(diag(v)))
  res$robust[[length(res$robust) + 1]] <- list(formula = one[[1]], family = one[[2]], link = if (one[[2]] == "gamma") "log", hc = hc(fit),
    jackknife = unname(sqrt((n - p) / n * diag(vcovHC(fit, type = "HC3")))), full_jackknife = full(fit, p),
    CR0 = se(vcovCL(fit, ~g, type = "HC0", cadjust = FALSE)), CR1 = se(vcovCL(fit, ~g, type = "HC0", cadjust = TRUE)), CR1S = se(vcovCL(fit, ~g, type = "HC1", cadjust = TRUE)),
    CR1p = se(12 / (12 - p) * vcovCL(fit, ~g, type = "HC0", cadjust = FALSE)),
    two = se(vcovCL(fit, ~g + h, type = "HC0", cadjust = FALSE, multi0 = FALSE)))
}
writeLines(toJSON(res, digits = 17, auto_unbox = TRUE, null = "null"), "weights_scale.json")

# Bias-reduced and Jeffreys-penalised GLM by brglm2, and by the equations of Kosmidis and Firth (2009) written out, solved by Newton steps.
#
#   Rscript penalty.R penalty.json
#
# Data: endometrial (Heinze and Schemper 2002), lizards (McCullagh and Nelder 1989, section 4.6) and coalition (King et al. 1990) of brglm2,
# InsectSprays (Beall 1942) of R. "brglm2" entries have its own dispersion; "equations" have Pearson's, X2 / (n - p).
suppressMessages({library(brglm2); library(MASS); library(jsonlite)})
options(contrasts = c("contr.treatment", "contr.poly"))
file <- commandArgs(TRUE)[1]; res <- list()
data(endometrial); data(lizards); data(coalition)
sprays <- transform(InsectSprays, few = ifelse(spray == "C", 0, count), spray = as.character(spray))  # a level without counts
endometrial$HG <- as.integer(as.character(endometrial$HG)); lizards$n <- lizards$grahami + lizards$opalinus
for (v in c("height", "diameter", "light", "time")) lizards[[v]] <- as.character(lizards[[v]])
frames <- list(endometrial = endometrial, lizards = lizards, coalition = coalition[c("duration", "fract", "numst2")], sprays = sprays)
res$data <- frames
tight <- list(epsilon = 1e-11, maxit = 20000, slowit = 1)
put <- function(id, formula, data, family, link, penalty, theirs, fit, weights = NULL) {
  s <- summary(fit); phi <- if (is.null(fit$dispersion)) 1 else as.numeric(fit$dispersion)
  res[[id]] <<- list(kind = "brglm2", formula = formula, data = data, family = family, link = link, penalty = penalty, weights = weights, coef = unname(coef(fit, model = "mean")),
    se = unname(sqrt(diag(vcov(fit, model = "mean")))), phi = phi, note = paste("R", getRversion(), "brglm2", packageVersion("brglm2"), theirs))
  cat(id, signif(coef(fit, model = "mean"), 8), "phi", phi, "converged", fit$converged, "\n")
}
types <- c(firth = "AS_mean", jeffreys = "MPL_Jeffreys")
for (penalty in names(types)) {
  type <- types[[penalty]]
  run <- function(formula, family, data, ...) do.call(glm, c(list(formula, family = family, data = data, method = "brglmFit", type = type, ...), tight))
  for (l in c("logit", "probit", "cloglog", "cauchit")) {  # brglm2 runs away for endometrial, cauchit
    if (l != "cauchit") put(paste0("endometrial_", l, "_", penalty), "HG ~ NV + PI + EH", "endometrial", "binomial", l, penalty, type, run(HG ~ NV + PI + EH, binomial(l), endometrial))
    put(paste0("lizards_", l, "_", penalty), "grahami / n ~ height + diameter + light + time", "lizards", "binomial", l, penalty, type,
      run(cbind(grahami, opalinus) ~ height + diameter + light + time, binomial(l), lizards))
  }
  put(paste0("sprays_", penalty), "count ~ spray", "sprays", "poisson", "log", penalty, type, run(count ~ spray, poisson("log"), sprays))
  put(paste0("sprays_few_", penalty), "few ~ spray", "sprays", "poisson", "log", penalty, type, run(few ~ spray, poisson("log"), sprays))
  for (l in c("log", "inverse")) put(paste0("coalition_", l, "_", penalty), "duration ~ fract + numst2", "coalition", "gamma", l, penalty, type, run(duration ~ fract + numst2, Gamma(l), coalition))
}

# ---------------------------------------------------------------- the equations: X'W [(y - mu) / d + phi h r / w] = 0, h of W^(1/2) X
slope <- function(f, x) { e <- 1e-3 * pmax(abs(x), 1e-3); (-f(x + 2 * e) + 8 * f(x + e) - 8 * f(x - e) + f(x - 2 * e)) / (12 * e) }
equations <- function(X, y, family, penalty, prior, phi = NULL) function(b) {
  eta <- drop(X %*% b); mu <- family$linkinv(eta); d <- family$mu.eta(eta); weight <- function(e) prior * family$mu.eta(e)^2 / family$variance(family$linkinv(e))
  w <- weight(eta); q <- qr.Q(qr(sqrt(w) * X)); h <- rowSums(q^2); r <- if (penalty == "firth") slope(family$mu.eta, eta) / (2 * d) else slope(function(e) log(weight(e)), eta) / 2
  if (is.null(phi)) phi <- sum(prior * (y - mu)^2 / family$variance(mu)) / (length(y) - ncol(X))
  drop(crossprod(X, w * (y - mu) / d + phi * h * r))
}
root <- function(U, b) { p <- length(b); for (it in 1:300) { u <- U(b); J <- sapply(1:p, function(j) { e <- 1e-6 * max(abs(b[j]), 1e-3) * (1:p == j); (U(b + e) - U(b - e)) / (2 * max(e)) }); s <- solve(J, u)
  t <- 1; while (t > 1e-4 && !(sum(U(b - t * s)^2) < sum(u^2))) t <- t / 2; b <- b - t * s; if (max(abs(s)) < 1e-13 * max(abs(b))) break }; b }
tweedie <- function(p) { f <- quasi(link = "log", variance = "mu"); f$variance <- function(mu) mu^p; f }
solved <- function(id, formula, data, family, link, penalty, object, weights = NULL, known = FALSE, ours = formula) {
  d <- frames[[data]]; X <- model.matrix(as.formula(formula), d); y <- d[[all.vars(as.formula(formula))[1]]]; prior <- if (is.null(weights)) rep(1, nrow(d)) else d[[weights]]
  b <- root(equations(X, y, object, penalty, prior, if (known) 1 else NULL), coef(glm(y ~ X - 1, family = object, weights = prior, control = glm.control(maxit = 200))))
  u <- equations(X, y, object, penalty, prior, if (known) 1 else NULL)(b)
  res[[id]] <<- list(kind = "equations", formula = ours, data = data, family = family, link = link, penalty = penalty, weights = weights, coef = unname(b), note = "Newton steps on the equations")
  cat(id, signif(b, 8), "left", signif(max(abs(u)), 2), "\n")
}
frames$coalition$w <- 1 + seq_len(nrow(coalition)) %% 3; res$data$coalition <- frames$coalition
frames$sprays$one <- frames$sprays$count + 1; res$data$sprays <- frames$sprays
for (penalty in names(types)) {
  for (l in c("log", "inverse")) solved(paste0("eq_gamma_", l, "_", penalty), "duration ~ fract + numst2", "coalition", "gamma", l, penalty, Gamma(l))
  solved(paste0("eq_gamma_weights_", penalty), "duration ~ fract + numst2", "coalition", "gamma", "log", penalty, Gamma("log"), weights = "w")
  solved(paste0("eq_ig_log_", penalty), "one ~ spray", "sprays", "inverse_gaussian", "log", penalty, inverse.gaussian("log"))
  solved(paste0("eq_ig_squared_", penalty), "one ~ spray", "sprays", "inverse_gaussian", "inverse_squared", penalty, inverse.gaussian("1/mu^2"))
  solved(paste0("eq_gaussian_log_", penalty), "one ~ spray", "sprays", "gaussian", "log", penalty, gaussian("log"))
  solved(paste0("eq_nb_", penalty), "count ~ spray", "sprays", "negative_binomial(2)", "log", penalty, negative.binomial(2, "log"), known = TRUE)
  solved(paste0("eq_tweedie_", penalty), "count ~ spray", "sprays", "tweedie(1.5)", "log", penalty, tweedie(1.5))
}
text <- gsub('},"', '},\n"', toJSON(res, auto_unbox = TRUE, digits = NA, null = "null", na = "null", dataframe = "columns"), fixed = TRUE)
writeLines(text, file)

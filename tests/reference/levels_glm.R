# Ordinal and nominal regression of independent rows: ordinal::clm, MASS::polr, nnet::multinom, at tight tolerances.
#
# How to run: install R with ordinal, MASS, nnet and jsonlite; then, in this folder: Rscript levels_glm.R data .
# First argument: the folder with the csv files; second: the folder where levels_glm.json is written.
args <- commandArgs(TRUE); ddir <- args[1]; out <- args[2]
suppressMessages({library(ordinal); library(MASS); library(nnet); library(sandwich); library(jsonlite)})
tight <- clm.control(gradTol = 1e-12, relTol = 1e-14, maxIter = 200)
data(wine); data(housing)
wine$o <- 0.4 * (as.integer(wine$judge) %% 3) - 0.2 * (as.integer(wine$bottle) %% 2)
wine$w <- 0.5 + (seq_len(nrow(wine)) %% 4) / 2
koch <- read.csv(file.path(ddir, "geepack_koch.csv")); koch$day <- factor(koch$day); koch$y <- ordered(koch$y)

of_clm <- function(f, d, link, weights = rep(1, nrow(d))) {
  d$clm_weights <- weights; environment(f) <- environment()
  r <- clm(f, data = d, link = link, weights = clm_weights, control = tight)
  list(coefficients = as.list(coef(r)), errors = unname(sqrt(diag(vcov(r)))), vcov = unname(vcov(r)), loglik = as.numeric(logLik(r)),
       aic = AIC(r), bic = BIC(r), nobs = r$nobs, gradient = max(abs(r$gradient)))
}
links <- c("logit", "probit", "cloglog", "loglog", "cauchit")
res <- list(note = paste("R", getRversion(), "ordinal", packageVersion("ordinal"), "MASS", packageVersion("MASS"), "nnet", packageVersion("nnet"), "sandwich", packageVersion("sandwich")))
for (l in links) {
  res$clm$wine[[l]] <- of_clm(rating ~ temp + contact, wine, l)
  res$clm$wine_weights[[l]] <- of_clm(rating ~ temp + contact + offset(o), wine, l, wine$w)
  res$clm$housing[[l]] <- of_clm(Sat ~ Infl + Type + Cont, housing, l, housing$Freq)
  res$clm$koch[[l]] <- of_clm(y ~ trt + day, koch, l)
}
res$clm$housing_interaction$logit <- of_clm(Sat ~ Infl * Type + Cont, housing, "logit", housing$Freq)
pw <- predict(clm(rating ~ temp + contact, data = wine, link = "probit", control = tight), newdata = data.frame(temp = c("cold", "warm"), contact = c("no", "yes")),
              se.fit = TRUE, interval = TRUE)
res$clm$predicted <- list(fit = unname(pw$fit), se = unname(pw$se.fit))

for (l in c("logit", "probit", "cloglog")) {
  k <- clm(y ~ trt + day, data = koch, link = l, control = tight)
  res$sandwich[[l]] <- list(rows = unname(sandwich(k)), clusters = unname(vcovCL(k, koch$id, cadjust = FALSE, type = "HC0")),
                            small = unname(vcovCL(k, koch$id, cadjust = TRUE, type = "HC1")))
}

polr_once <- polr(Sat ~ Infl + Type + Cont, weights = Freq, data = housing, Hess = TRUE)
r <- polr(Sat ~ Infl + Type + Cont, weights = Freq, data = housing, Hess = TRUE, start = c(coef(polr_once), polr_once$zeta), control = list(reltol = 1e-16, maxit = 10000))
res$polr <- list(thresholds = as.list(r$zeta), coefficients = as.list(coef(r)), deviance = r$deviance, edf = r$edf, df_residual = r$df.residual, nobs = r$nobs,
                 aic = AIC(r))

of_multinom <- function(f, d, weights = rep(1, nrow(d))) {
  d$mn_weights <- weights; environment(f) <- environment()
  r <- multinom(f, data = d, weights = mn_weights, Hess = TRUE, maxit = 100000, reltol = 1e-16, abstol = 0, trace = FALSE)
  list(coefficients = unname(coef(r)), terms = colnames(coef(r)), levels = rownames(coef(r)), errors = unname(summary(r)$standard.errors),
       deviance = r$deviance, edf = r$edf, aic = r$AIC, probability = unname(fitted(r)[1:6, ]))
}
res$multinom$housing <- of_multinom(Sat ~ Infl + Type + Cont, housing, housing$Freq)
res$multinom$koch <- of_multinom(y ~ trt + day, koch)
res$multinom$wine <- of_multinom(rating ~ judge3, transform(wine, rating = factor(pmin(as.integer(rating), 4)), judge3 = as.integer(judge) / 3), wine$w)

for (n in c("wine", "housing")) {
  d <- get(n)
  for (k in names(d)) if (is.factor(d[[k]])) d[[k]] <- as.character(d[[k]])
  res$data[[n]] <- as.list(d)
}
write_json(res, file.path(out, "levels_glm.json"), digits = NA, auto_unbox = TRUE)

# Zero inflation and dispersion models by glmmTMB (no random effects) and pscl -> parts.json; copies their data to data/ where asked.
# Run: Rscript parts.R (R >= 4.0; glmmTMB, pscl, sandwich, numDeriv, jsonlite).
#
# glmmTMB 1.1.5's dispersion part is the log of: the variance (gaussian), 1 / phi (Gamma), k (nbinom2), alpha (nbinom1), the precision
# (beta). Stored here is the log of sigma, phi, k, alpha, precision: gaussian halved, Gamma with the other sign.
suppressMessages({library(glmmTMB); library(pscl); library(sandwich); library(jsonlite)})
copy <- function(name, package) {
  file <- file.path("data", paste0(package, "_", name, ".csv"))
  if (!file.exists(file)) { e <- new.env(); data(list = name, package = package, envir = e); write.csv(e[[name]], file, row.names = FALSE) }
  read.csv(file, stringsAsFactors = TRUE)
}
salamanders <- copy("Salamanders", "glmmTMB")
owls <- copy("Owls", "glmmTMB")
chemists <- copy("bioChemists", "pscl")
salamanders$w <- 1 + seq_len(nrow(salamanders)) %% 3
set.seed(20)
n <- 300
sim <- data.frame(x = round(rnorm(n), 3), f = rep(c("a", "b", "c"), length.out = n), w = 1 + seq_len(n) %% 3, o = round(runif(n, -0.5, 0.5), 3))
fx <- with(sim, 0.3 * (f == "b") - 0.5 * (f == "c"))
mu <- exp(0.4 + 0.5 * sim$x + fx)
phi <- exp(-0.6 + 0.4 * sim$x)
sim$amount <- signif(rgamma(n, 1 / phi, scale = mu * phi), 6)
sim$level <- round(1 + 0.7 * sim$x + fx + sqrt(phi) * rnorm(n), 5)
p <- plogis(0.2 + 0.6 * sim$x + fx); a <- exp(2 - 0.5 * sim$x)
sim$share <- pmin(pmax(round(rbeta(n, p * a, (1 - p) * a), 6), 1e-6), 1 - 1e-6)
k <- exp(0.5 + 0.6 * sim$x)
sim$count <- ifelse(runif(n) < plogis(-0.8 + 0.7 * sim$x), 0, rpois(n, rgamma(n, k, scale = mu * exp(1) / k)))
sim$f <- factor(sim$f)
tables <- list(glmmTMB_Salamanders = salamanders, glmmTMB_Owls = owls, pscl_bioChemists = chemists, sim = sim)
res <- list(data = list(sim = as.list(transform(sim, f = as.character(f))), weights = salamanders$w))
con <- glmmTMBControl(optCtrl = list(iter.max = 1e4, eval.max = 1e4, rel.tol = 1e-14, x.tol = 1e-12))
tmb <- function(id, data, formula, family, name, link, zi = ~0, disp = ~1, weights = NULL, offset = NULL, new = NULL) {
  d <- tables[[data]]
  environment(formula) <- environment(zi) <- environment(disp) <- environment()
  d$rw <- if (is.null(weights)) rep(1, nrow(d)) else d[[weights]]
  f <- suppressWarnings(glmmTMB(formula, d, family, ziformula = zi, dispformula = disp, weights = rw, control = con))
  o <- f$obj; p <- f$fit$par
  for (it in 1:20) p <- p - solve(numDeriv::jacobian(o$gr, p), as.numeric(o$gr(p)))
  f$fit$par[] <- p; f$fit$parfull[] <- p
  v <- solve(numDeriv::jacobian(o$gr, p)); s <- sqrt(diag(v))
  turn <- switch(name, gaussian = 0.5, gamma = -1, 1)
  block <- function(which, by = 1) if (any(names(p) == which)) list(coef = I(unname(by * p[names(p) == which])), se = I(unname(abs(by) * s[names(p) == which]))) else NULL
  text <- function(x) paste(trimws(deparse(x, 500)), collapse = "")
  out <- list(data = data, formula = text(formula), family = name, link = link, weights = weights, zero = if (zi == ~0) NULL else text(zi), dispersion = if (disp == ~1) NULL else text(disp),
    mean = block("beta"), zero_part = block("betazi"), dispersion_part = block("betad", turn), llf = -o$fn(p), aic = 2 * o$fn(p) + 2 * length(p))
  if (!is.null(new)) {
    at <- transform(new, rw = 1); pr <- predict(f, at, type = "response", se.fit = TRUE)
    out$new <- as.list(lapply(new, function(x) I(if (is.factor(x)) as.character(x) else x))); out$predicted <- I(unname(pr$fit)); out$predicted_se <- I(unname(pr$se.fit))
    if (zi != ~0) out$zprob <- I(unname(predict(f, at, type = "zprob")))
  }
  res[[id]] <<- out
}
sal <- data.frame(mined = factor(c("no", "yes", "no")), spp = factor(c("GP", "PR", "DM"), levels = levels(salamanders$spp)), DOY = c(-1, 0, 0.5), cover = c(0.2, 0, -1))
tmb("sal_zip", "glmmTMB_Salamanders", count ~ spp + mined, poisson, "poisson", "log", ~ spp + mined, new = sal)
tmb("sal_zip1", "glmmTMB_Salamanders", count ~ spp * mined, poisson, "poisson", "log", ~ 1)
tmb("sal_zinb2", "glmmTMB_Salamanders", count ~ spp + mined, nbinom2, "negative_binomial", "log", ~ mined, new = sal)
tmb("sal_disp", "glmmTMB_Salamanders", count ~ spp + mined, nbinom2, "negative_binomial", "log", disp = ~ DOY, new = sal)
tmb("sal_both", "glmmTMB_Salamanders", count ~ spp + mined, nbinom2, "negative_binomial", "log", ~ mined, ~ DOY, new = sal)
tmb("sal_zinb1", "glmmTMB_Salamanders", count ~ mined + cover, nbinom1, "negative_binomial1", "log", ~ cover)
tmb("sal_disp1", "glmmTMB_Salamanders", count ~ spp + mined, nbinom1, "negative_binomial1", "log", disp = ~ cover)
tmb("sal_weights", "glmmTMB_Salamanders", count ~ mined + cover, poisson, "poisson", "log", ~ mined, weights = "w")
tmb("sal_weights2", "glmmTMB_Salamanders", count ~ mined + cover, nbinom2, "negative_binomial", "log", disp = ~ mined, weights = "w")
tmb("owls_offset", "glmmTMB_Owls", SiblingNegotiation ~ FoodTreatment * SexParent + offset(logBroodSize), poisson, "poisson", "log", ~ FoodTreatment)
tmb("owls_both", "glmmTMB_Owls", SiblingNegotiation ~ FoodTreatment + ArrivalTime + offset(logBroodSize), nbinom2, "negative_binomial", "log", ~ 1, ~ FoodTreatment)
tmb("owls_zinb1", "glmmTMB_Owls", SiblingNegotiation ~ FoodTreatment + offset(logBroodSize), nbinom1, "negative_binomial1", "log", ~ FoodTreatment, ~ SexParent)
tmb("sim_offsets", "sim", count ~ x + f, nbinom2, "negative_binomial", "log", ~ x + offset(o), ~ x + offset(o))
tmb("sim_gamma", "sim", amount ~ x + f, Gamma("log"), "gamma", "log", disp = ~ x)
tmb("sim_gamma_inverse", "sim", amount ~ f, Gamma("inverse"), "gamma", "inverse", disp = ~ x + f)
tmb("sim_gaussian", "sim", level ~ x + f, gaussian, "gaussian", "identity", disp = ~ x, new = data.frame(x = c(-1, 0, 2), f = factor(c("a", "b", "c"))))
tmb("sim_gaussian_weights", "sim", level ~ x, gaussian, "gaussian", "identity", disp = ~ x + offset(-log(w)))
tmb("sim_gamma_weights", "sim", amount ~ x, Gamma("log"), "gamma", "log", disp = ~ x + offset(log(w)))
tmb("sim_beta", "sim", share ~ x + f, beta_family(), "beta", "logit", disp = ~ x, new = data.frame(x = c(-1, 0, 2), f = factor(c("a", "b", "c"))))
tmb("sim_beta_weights", "sim", share ~ x, beta_family("cloglog"), "beta", "cloglog", disp = ~ f, weights = "w")
for (id in c("sim_gaussian_weights", "sim_gamma_weights")) { res[[id]]$weights <- "w"; res[[id]]$dispersion <- "~x" }  # our weights divide the dispersion
zi <- function(id, formula, fixed, zero, dist, name, cluster = NULL, weights = NULL) {
  d <- chemists; w <- if (is.null(weights)) rep(1, nrow(d)) else d[[weights]]
  f <- do.call(zeroinfl, list(formula, d, dist = dist, weights = w, control = zeroinfl.control(reltol = 1e-15, maxit = 1e4, method = "BFGS")))
  X <- model.matrix(f, "count"); Z <- model.matrix(f, "zero"); y <- f$y; nx <- ncol(X); nz <- ncol(Z)
  nll <- function(p) {
    m <- exp(drop(X %*% p[1:nx])); q <- drop(Z %*% p[nx + 1:nz]); g <- function(y) if (dist == "poisson") dpois(y, m, log = TRUE) else dnbinom(y, exp(p[nx + nz + 1]), mu = m, log = TRUE)
    -sum(w * ifelse(y == 0, log(plogis(q) + plogis(-q) * exp(g(0))), plogis(-q, log.p = TRUE) + g(y)))
  }
  p <- c(unname(coef(f)), if (dist == "negbin") log(f$theta))
  for (it in 1:8) p <- p - solve(numDeriv::hessian(nll, p), numDeriv::grad(nll, p, method.args = list(r = 6)))
  v <- solve(numDeriv::hessian(nll, p)); s <- sqrt(diag(v))
  res[[id]] <<- list(data = "pscl_bioChemists", formula = fixed, family = name, link = "log", weights = weights, zero = zero, dispersion = NULL,
    mean = list(coef = p[1:nx], se = s[1:nx]), zero_part = list(coef = I(p[nx + 1:nz]), se = I(s[nx + 1:nz])),
    dispersion_part = if (dist == "negbin") list(coef = I(p[nx + nz + 1]), se = I(s[nx + nz + 1])), llf = -nll(p), aic = 2 * nll(p) + 2 * length(p))
  if (dist == "poisson") {
    f$coefficients <- list(count = setNames(p[1:nx], colnames(X)), zero = setNames(p[nx + 1:nz], colnames(Z)))
    f$vcov[] <- v; m <- exp(drop(X %*% p[1:nx])); q <- plogis(drop(Z %*% p[nx + 1:nz]))
    mu <- (1 - q) * m
    f$fitted.values <- mu; f$residuals <- y - mu
    res[[id]]$hc0 <<- sqrt(diag(sandwich(f)))[1:nx]
    if (!is.null(cluster)) { res[[id]]$cluster <<- cluster; res[[id]]$clustered <<- unname(sqrt(diag(vcovCL(f, chemists[[cluster]], type = "HC0", cadjust = FALSE))))[1:nx] }
    res[[id]]$pearson <<- unname(head((y - mu) / sqrt((1 - q) * (m + q * m^2)), 5))
  }
}
zi("chem_zip", art ~ fem + mar + kid5 + phd + ment, "art ~ fem + mar + kid5 + phd + ment", "~ fem + mar + kid5 + phd + ment", "poisson", "poisson", "ment")
zi("chem_zip1", art ~ fem + ment | 1, "art ~ fem + ment", "~ 1", "poisson", "poisson")
zi("chem_zinb", art ~ fem + kid5 + phd + ment | ment, "art ~ fem + kid5 + phd + ment", "~ ment", "negbin", "negative_binomial")
res$versions <- paste("R", getRversion(), "glmmTMB", packageVersion("glmmTMB"), "pscl", packageVersion("pscl"), "sandwich", packageVersion("sandwich"))
text <- gsub('},"', '},\n"', toJSON(res, auto_unbox = TRUE, digits = NA, null = "null", na = "null"), fixed = TRUE)
writeLines(text, "parts.json")

# GEE with every working correlation of R's gee and geepack, independent of glimm.
#
# How to run: install R with gee, geepack and jsonlite (Debian: r-base-core r-cran-gee r-cran-geepack r-cran-jsonlite),
#   then, in this folder: Rscript gee_structures.R data .
# First argument: the folder with the csv files (sim_gee.csv is written there if missing); second: where gee_structures.json goes.
# Both programs are iterated to 1e-12. Responses and designs are named by the formula; rows are sorted by cluster and wave.
args <- commandArgs(TRUE); ddir <- args[1]; out <- args[2]
suppressMessages({library(gee); library(geepack); library(jsonlite)})
options(contrasts = c("contr.treatment", "contr.poly"), warn = 1)
rd <- function(n) read.csv(file.path(ddir, paste0(n, ".csv")), stringsAsFactors = TRUE)
res <- list()
num <- function(x) I(as.numeric(x))
mat <- function(m) unname(as.matrix(m))

# ---------------------------------------------------------------- data
# 60 clusters of up to 5 waves, so weakly correlated that every structure is feasible. yn normal, yb binary, yp counts, yg positive; a common random effect; w prior weights, o an offset;
# complete = 1: clusters 1 to 40, all waves; the others have lost some.
sim <- file.path(ddir, "sim_gee.csv")
if (!file.exists(sim)) {
  set.seed(20011); K <- 60
  d <- expand.grid(wave = 1:5, id = 1:K)[, 2:1]
  u <- rnorm(K)[d$id]; e <- as.numeric(replicate(K, arima.sim(list(ma = 0.4), 5)))
  d$x <- round(rnorm(nrow(d)), 3); d$z <- d$id %% 2; d$w <- 1 + sample(0:3, nrow(d), TRUE) / 2; d$o <- round(runif(nrow(d), 0, 1), 3)
  eta <- 0.3 + 0.4 * d$x - 0.5 * d$z
  d$yn <- round(eta + 0.4 * u + e, 4)
  d$yb <- as.integer(runif(nrow(d)) < plogis(eta + 0.9 * u))
  d$yp <- rpois(nrow(d), exp(eta + 0.4 * u + d$o))
  d$yg <- round(rgamma(nrow(d), shape = 3, scale = exp(eta + 0.2 * u) / 3) + 0.001, 4)
  d$yh <- round((1 + 0.5 * abs(d$x)) * exp(0.3 * u) * rgamma(nrow(d), shape = 4, scale = 1 / 4) + 0.01, 4)
  d$complete <- as.integer(d$id <= 40)
  keep <- d$complete == 1 | runif(nrow(d)) < 0.65
  write.csv(d[keep, ], sim, row.names = FALSE)
}
sg <- rd("sim_gee"); sg <- sg[order(sg$id, sg$wave), ]; sc <- sg[sg$complete == 1, ]
oh <- rd("geepack_ohio"); oh <- oh[order(oh$id, oh$age), ]; oh$w <- 1 + (oh$id + 2 * oh$age + 4) %% 3
ep <- rd("MASS_epil"); ep <- ep[order(ep$subject, ep$period), ]; ep$trt <- relevel(ep$trt, "placebo"); ep$w <- 1 + (ep$subject + ep$period) %% 3
ep$o <- 0.1 * ep$period; ep$.id <- ep$subject
e12 <- ep[ep$subject >= 23 & ep$subject <= 34, ]
re <- rd("geepack_respiratory"); re <- re[order(re$center, re$id, re$visit), ]; re$.id <- re$center * 1000 + re$id; re$center <- factor(re$center)
re$sex <- relevel(factor(re$sex), "M"); re$treat <- relevel(factor(re$treat), "P")
oh$.id <- oh$id; sg$.id <- sg$id; sc$.id <- sc$id; e12$.id <- e12$subject
frames <- list(geepack_ohio = oh, MASS_epil = ep, sim_gee = sg, sim_gee_complete = sc, MASS_epil_12 = e12, geepack_respiratory = re)

# ---------------------------------------------------------------- R's gee
gee_put <- function(id, data, formula, family, link, corstr, m = 1, name = corstr, R = NULL, rows = NULL) {
  d <- frames[[data]]; fam <- do.call(family, list(link))
  a <- list(formula = formula, id = quote(.id), data = d, family = fam, corstr = corstr, Mv = m, tol = 1e-12, maxiter = 200, silent = TRUE)
  if (!is.null(R)) a$R <- R
  sink("/dev/null"); f <- try(suppressMessages(do.call(gee, a)), silent = TRUE); sink()
  if (inherits(f, "try-error")) { cat("FAILED", id, f); return(invisible()) }
  if (f$error != 0 || f$iterations >= 200) { cat("NOT USABLE", id, "error", f$error, "iterations", f$iterations, "\n"); return(invisible()) }
  res[[id]] <<- list(program = "gee", rule = "gee", data = data, formula = deparse(formula), family = family, link = link, corr = name, m = m,
    coef = num(coef(f)), se = num(sqrt(diag(f$robust.variance))), se_model = num(sqrt(diag(f$naive.variance))), phi = f$scale,
    working = mat(f$working.correlation), matrix = if (is.null(R)) NULL else mat(R), error = f$error, iterations = f$iterations)
}
AR <- 0.4 ^ abs(outer(1:4, 1:4, "-")); FX <- 0.25 + 0.75 * diag(5); FX[1, 2] <- FX[2, 1] <- 0.4
structures <- list(list("independence", 1, "independence"), list("exchangeable", 1, "exchangeable"), list("AR-M", 1, "ar1"), list("AR-M", 2, "ar(2)"),
  list("AR-M", 3, "ar(3)"), list("stat_M_dep", 1, "stationary(1)"), list("stat_M_dep", 2, "stationary(2)"),
  list("non_stat_M_dep", 1, "nonstationary(1)"), list("non_stat_M_dep", 2, "nonstationary(2)"), list("unstructured", 1, "unstructured"))
for (s in structures) {
  k <- gsub("[()]", "", s[[3]])
  gee_put(paste0("gee_ohio_", k), "geepack_ohio", resp ~ age * smoke, "binomial", "logit", s[[1]], s[[2]], s[[3]])
  gee_put(paste0("gee_epil_", k), "MASS_epil", y ~ lbase * trt + V4 + offset(o), "poisson", "log", s[[1]], s[[2]], s[[3]])
  gee_put(paste0("gee_sim_normal_", k), "sim_gee_complete", yn ~ x + z, "gaussian", "identity", s[[1]], s[[2]], s[[3]])
  gee_put(paste0("gee_sim_gamma_", k), "sim_gee_complete", yg ~ x + z, "Gamma", "log", s[[1]], s[[2]], s[[3]])
  if (s[[1]] %in% c("unstructured", "non_stat_M_dep", "exchangeable", "independence"))
    gee_put(paste0("gee_sim_lost_", k), "sim_gee", yp ~ x + z + offset(o), "poisson", "log", s[[1]], s[[2]], s[[3]])
}
gee_put("gee_ohio_fixed", "geepack_ohio", resp ~ age * smoke, "binomial", "logit", "fixed", 1, "fixed", AR)
gee_put("gee_sim_fixed", "sim_gee_complete", yn ~ x + z, "gaussian", "identity", "fixed", 1, "fixed", FX)

# ---------------------------------------------------------------- geepack
# scale.fix = TRUE holds phi at sum e^2 / N of the independence fit, whatever scale.value is (geepack 1.3.9).
# Userdefined and fixed take a row of z for each pair of rows that are there (with waves= geepack 1.3.9 crashes), as unstructured does by position.
# z: correlations of pairs (j, k), j < k, of a cluster in the order (1,2) (1,3) ... (2,3) ...
blocks <- function(id, pos, f) do.call(rbind, lapply(split(pos, factor(id, unique(id))), function(w) if (length(w) < 2) NULL else do.call(rbind, lapply(seq_len(length(w) - 1), function(j) do.call(rbind, lapply((j + 1):length(w), function(k) f(w[j], w[k])))))))
near_far <- function(a, b) c(b - a <= 1, b - a > 1) * 1
put <- function(id, data, formula, family, link, corr, weights = NULL, waves = NULL, matrix = NULL, fix = FALSE, jack = FALSE) {
  d <- frames[[data]]; d$.w <- if (is.null(weights)) 1 else d[[weights]]
  ctl <- geese.control(epsilon = 1e-12, maxit = 300, jack = jack, j1s = jack, fij = jack)
  a <- list(formula = formula, data = d, id = quote(.id), weights = quote(.w), family = do.call(family, list(link)), corstr = corr, scale.fix = fix, control = ctl)
  if (jack) a <- c(a, list(jack = TRUE, j1s = TRUE, fij = TRUE))
  if (!is.null(waves) && !(corr %in% c("userdefined", "fixed"))) { d$.v <- d[[waves]]; a$data <- d; a$waves <- quote(.v) }
  at <- if (is.null(waves)) ave(seq_len(nrow(d)), d$.id, FUN = seq_along) else d[[waves]]
  if (corr == "userdefined") a$zcor <- blocks(d$.id, at, near_far)
  if (corr == "fixed") a$zcor <- as.numeric(blocks(d$.id, at, function(j, k) matrix[j, k]))
  s <- try(suppressWarnings(do.call(geese, a)), silent = TRUE)
  if (inherits(s, "try-error")) { cat("FAILED", id, s); return(invisible()) }
  se <- function(v) num(sqrt(diag(as.matrix(v))))
  res[[id]] <<- list(program = "geepack", rule = "geepack", data = data, formula = deparse(formula), family = family, link = link, corr = corr, weights = weights, waves = waves,
    coef = num(s$beta), se = se(s$vbeta), se_model = se(s$vbeta.naiv), phi = as.numeric(s$gamma), alpha = num(if (corr == "fixed") numeric() else s$alpha), scale_fix = fix,
    matrix = if (is.null(matrix)) NULL else mat(matrix), se_ajs = if (jack) se(s$vbeta.ajs), se_j1s = if (jack) se(s$vbeta.j1s), se_fij = if (jack) se(s$vbeta.fij), clusters = length(s$clusz))
}
for (cs in c("independence", "exchangeable", "ar1", "unstructured", "userdefined")) {
  put(paste0("gp_ohio_", cs), "geepack_ohio", resp ~ age * smoke, "binomial", "logit", cs)
  put(paste0("gp_ohio_weights_", cs), "geepack_ohio", resp ~ age * smoke, "binomial", "logit", cs, weights = "w")
  put(paste0("gp_epil_", cs), "MASS_epil", y ~ lbase * trt + V4 + offset(o), "poisson", "log", cs)
  put(paste0("gp_epil_weights_", cs), "MASS_epil", y ~ lbase * trt + V4 + offset(o), "poisson", "log", cs, weights = "w")
  put(paste0("gp_sim_normal_", cs), "sim_gee_complete", yn ~ x + z, "gaussian", "identity", cs)
  put(paste0("gp_sim_normal_weights_", cs), "sim_gee_complete", yn ~ x + z, "gaussian", "identity", cs, weights = "w")
  put(paste0("gp_sim_gamma_", cs), "sim_gee_complete", yg ~ x + z, "Gamma", "log", cs)
  put(paste0("gp_sim_gamma_weights_", cs), "sim_gee_complete", yg ~ x + z, "Gamma", "log", cs, weights = "w")
  put(paste0("gp_sim_lost_", cs), "sim_gee", yp ~ x + z + offset(o), "poisson", "log", cs)
  put(paste0("gp_sim_lost_weights_", cs), "sim_gee", yp ~ x + z + offset(o), "poisson", "log", cs, weights = "w")
  put(paste0("gp_sim_probit_", cs), "sim_gee", yb ~ x + z, "binomial", "probit", cs, weights = "w")
  put(paste0("gp_sim_cloglog_", cs), "sim_gee", yb ~ x + z, "binomial", "cloglog", cs)
  put(paste0("gp_sim_inverse_", cs), "sim_gee_complete", yh ~ I(abs(x)), "Gamma", "inverse", cs)
  put(paste0("gp_epil12_", cs), "MASS_epil_12", y ~ lbase + trt + V4, "poisson", "log", cs, jack = cs != "userdefined")
  put(paste0("gp_respiratory_", cs), "geepack_respiratory", outcome ~ treat + center + sex + age + baseline, "binomial", "logit", cs)
  put(paste0("gp_scale_fix_", cs), "geepack_ohio", resp ~ age * smoke, "binomial", "logit", cs, fix = TRUE)
}
for (cs in c("exchangeable", "ar1", "userdefined")) {
  put(paste0("gp_sim_waves_", cs), "sim_gee", yp ~ x + z + offset(o), "poisson", "log", cs, waves = "wave")
  put(paste0("gp_sim_waves_weights_", cs), "sim_gee", yn ~ x + z, "gaussian", "identity", cs, waves = "wave", weights = "w")
}
for (w in list(NULL, "w")) {
  k <- if (is.null(w)) "" else "_weights"
  put(paste0("gp_sim_waves", k, "_fixed"), "sim_gee", yn ~ x + z, "gaussian", "identity", "fixed", waves = "wave", matrix = FX, weights = w)
  put(paste0("gp_ohio", k, "_fixed"), "geepack_ohio", resp ~ age * smoke, "binomial", "logit", "fixed", matrix = AR, weights = w)
}
versions <- paste(c(paste("R", getRversion()), sapply(c("gee", "geepack"), function(p) paste(p, packageVersion(p)))), collapse = ", ")
write_json(list(note = paste0(versions, "; gee(tol = 1e-12), geese(epsilon = 1e-12); se robust without small-sample factor; rows sorted by cluster and wave"), fits = res),
  file.path(out, "gee_structures.json"), auto_unbox = TRUE, digits = NA, null = "null")
cat(length(res), "fits\n")

# Mixed models with structured covariances, independent of glimm: cs, homcs, toep, ar1 and ou by glmmTMB.
#
# How to run: install R with lme4, glmmTMB and jsonlite, then here:
#   Rscript structures.R data .          every entry; writes structures.json
#   Rscript structures.R data . ar1      only the entries whose id matches; the others are kept
# data: the folder with the csv files (sim_several.csv is made by sim_several.py). fitting.R says how a fit is found, here
# from two starts.
# A model whose structured term is on its boundary is not stored.
# A structured term has sd and corr of all its effects, and "natural": cs (unequal sds) rho; homcs sd, rho; toep (unequal sds) rho by
# lag; ar1 sd, rho; ou sd, rate, corr = exp(-rate |t - s|). homcs is cs with glmmTMB's map that makes its log sds equal.
# Linear models (family gaussian, identity): m2loglik is glmmTMB's, and agrees with dense algebra (m2loglik_dense); coef and se are of
# generalised least squares at the optimum, by dense algebra: se^2 = diag (X' V^-1 X)^-1, conditional on the covariances. Others: joint Hessian.
args <- commandArgs(TRUE); ddir <- args[1]; out <- args[2]; part <- if (length(args) > 2) args[3] else "."
source("fitting.R"); sim <- read_data(ddir, "sim_several")
des <- function(n) { d <- droplevels(sim[sim$design == n, ]); if (!all(is.na(d$visit))) { d$fvisit <- factor(d$visit); d$nt <- numFactor(d$t) }; d$fc <- factor(d$c); d }
structured_term <- function(group, structure, effects, tmb, names) c(term(group, effects, structure, names), list(tmb = tmb))
by_visit <- function(structure, d) structured_term("a", structure, ~ 0 + fvisit, "0 + fvisit", paste0("C(visit)[", levels(d$fvisit), "]"))
by_c <- function(structure, d, group = "a") structured_term(group, structure, ~ 0 + fc, "0 + fc", paste0("C(c)[", levels(d$fc), "]"))
by_time <- function(d) structured_term("a", "ou", ~ 0 + nt, "0 + nt", as.character(sort(unique(d$t))))
natural <- function(t, S, times) {
  sd <- sqrt(diag(S)); C <- cov2cor(S); q <- nrow(S)
  switch(t$structure, cs = list(rho = C[2, 1]), homcs = list(sd = sd[1], rho = C[2, 1]), toep = list(rho = I(C[-1, 1])), ar1 = list(sd = sd[1], rho = C[2, 1]), ou = list(sd = sd[1], rate = -log(C[2, 1]) / (times[2] - times[1])), NULL)
}
dense <- function(fixed, d, terms, S, sigma, reml) {
  X <- model.matrix(as.formula(sub("^.*~", "~", fixed)), d); y <- d[[all.vars(as.formula(fixed))[1]]]; V <- diag(sigma^2, nrow(d))
  for (i in seq_along(terms)) { Z <- as.matrix(d[terms[[i]]$z]); V <- V + (Z %*% S[[i]] %*% t(Z)) * outer(d[[terms[[i]]$g]], d[[terms[[i]]$g]], `==`) }
  L <- t(chol(V)); Xw <- forwardsolve(L, X); yw <- forwardsolve(L, y); B <- solve(crossprod(Xw)); b <- drop(B %*% crossprod(Xw, yw)); n <- nrow(d) - reml * ncol(X)
  list(m2 = n * log(2 * pi) + 2 * sum(log(diag(L))) + sum((yw - Xw %*% b)^2) + if (reml) -as.numeric(determinant(B)$modulus) else 0, coef = setNames(b, colnames(X)), vcov = B)
}
structured <- function(id, formula, design, fixed, terms, fam = gaussian(), reml = FALSE, o = NULL, offset_text = NULL) {
  if (!grepl(part, id)) return(invisible())
  d <- des(design); pr <- prepare(d, terms); d <- pr$d; terms <- pr$terms; x <- tmb_search(fixed, d, terms, fam, o, reml, starts = c(0.5, 2))
  if (is.null(x) || !is.finite(x$step) || x$step > 1e-4 || is.null(try0(solve(x$H)))) return(cat(id, "has no optimum by glmmTMB inside the boundary\n")); p <- x$p; nm <- names(p); S <- tmb_cov(x, terms); times <- sort(unique(d$t)); linear <- fam$family == "gaussian"
  stored <- Map(function(t, S) { e <- covariance_entry(t, S); nat <- natural(t, S, times); if (!is.null(nat)) e$natural <- nat; if (t$structure == "ou") { e$effects <- I("t"); e$times <- num(times); e$sd <- num(nat$sd); e$corr <- e$cov <- NULL }; e }, terms, S)
  entry <- list(kind = if (linear) "lmm" else "glmm", formula = formula, data = "sim_several", design = design, family = fam$family, link = fam$link)
  if (linear) entry$reml <- reml else entry$points <- 1
  if (!is.null(offset_text)) entry$offset <- offset_text
  if (linear) {
    s <- exp(0.5 * p[["betad"]]); w <- dense(fixed, d, terms, S, s, reml)
    entry <- c(entry, list(nobs = nrow(d), coef = nl(w$coef), se = nl(setNames(sqrt(diag(w$vcov)), names(w$coef))), vcov = mat(w$vcov), sigma = s, loglik = -x$f, m2loglik = 2 * x$f, m2loglik_dense = w$m2)); note <- sprintf("dense %.1e", w$m2 - 2 * x$f)
  } else {
    ib <- which(nm == "beta"); V <- solve(x$H); cf <- names(fixef(x$fit)$cond); note <- ""
    entry <- c(entry, list(nobs = nrow(d), coef = nl(setNames(p[ib], cf)), se = nl(setNames(sqrt(diag(V))[ib], cf)), vcov = mat(V[ib, ib, drop = FALSE]), loglik = -x$f, m2loglik = 2 * x$f))
  }
  entry$rank <- x$size; entry$size <- sum(sapply(terms, `[[`, "q")); entry$terms <- unname(stored); entry$newton_step <- x$step; entry$max_gradient <- x$gradient; entry$found_by <- x$name; entry$loglik_by <- x$by; entry$note <- paste0(ver("glmmTMB", "TMB"), ", glmmTMB (nlminb or BFGS, then Newton on TMB's gradient)")
  res[[id]] <<- entry
  cat(id, sprintf("%.9f", -x$f), note, "step", format(x$step, digits = 2), "gradient", format(x$gradient, digits = 2), "natural", unlist(lapply(stored, function(e) c(signif(as.numeric(unlist(e$natural)), 3), "/"))), "sd", signif(sqrt(unlist(lapply(S, function(s) unique(round(diag(s), 8))[1:min(5, nrow(s))]))), 3), ";", paste(names(x$by), sprintf("%.1e", unlist(x$by) + x$f), collapse = ", "), "\n")
  save_entries(file.path(out, "structures.json"), part)
}

vi <- des("visits"); re <- des("repeats"); si <- des("sibling")
centre <- list(term("b"))
for (r in c(FALSE, TRUE)) { s <- if (r) "_reml" else "_ml"
  structured(paste0("lmm_ar1_visits", s), "y ~ x + visit + ar1(0 + C(visit) | a)", "visits", "y ~ x + visit", list(by_visit("ar1", vi)), reml = r)
  structured(paste0("lmm_ar1_visits_centre", s), "y ~ x + visit + ar1(0 + C(visit) | a) + (1 | b)", "visits", "y ~ x + visit", c(list(by_visit("ar1", vi)), centre), reml = r)
  structured(paste0("lmm_ar1_repeats_centre", s), "y ~ x + visit + ar1(0 + C(visit) | a) + (1 + x | b)", "repeats", "y ~ x + visit", list(by_visit("ar1", re), term("b", ~ x)), reml = r)
  structured(paste0("lmm_ou_visits", s), "y ~ x + t + ou(0 + t | a)", "visits", "y ~ x + t", list(by_time(vi)), reml = r)
  structured(paste0("lmm_ou_repeats_centre", s), "y ~ x + t + ou(0 + t | a) + (1 | b)", "repeats", "y ~ x + t", c(list(by_time(re)), centre), reml = r)
  for (k in c("cs", "homcs", "toep")) {
    structured(paste0("lmm_", k, "_repeats", s), sprintf("y ~ x + visit + %s(0 + C(visit) | a)", k), "repeats", "y ~ x + visit", list(by_visit(k, re)), reml = r)
    structured(paste0("lmm_", k, "_repeats_centre", s), sprintf("y ~ x + visit + %s(0 + C(visit) | a) + (1 | b)", k), "repeats", "y ~ x + visit", c(list(by_visit(k, re)), centre), reml = r)
  }
  structured(paste0("lmm_homcs_negative", s), "y ~ x + C(c) + homcs(0 + C(c) | a)", "sibling", "y ~ x + fc", list(by_c("homcs", si)), reml = r)
  structured(paste0("lmm_cs_negative", s), "y ~ x + C(c) + cs(0 + C(c) | a)", "sibling", "y ~ x + fc", list(by_c("cs", si)), reml = r)
  structured(paste0("lmm_cs_slope", s), "y ~ x + cs(1 + x | a) + (1 | b)", "cross", "y ~ x", list(term("a", ~ x, "cs"), term("b")), reml = r)
  structured(paste0("lmm_homcs_slope", s), "y ~ x + homcs(1 + x | a) + (1 | b)", "cross", "y ~ x", list(term("a", ~ x, "homcs"), term("b")), reml = r)
}
for (v in c("yb", "yp")) { F <- if (v == "yb") binomial() else poisson(); g <- function(t) paste0("glmm_", t, if (v == "yb") "_logit" else "_poisson")
  f <- function(bars) paste(v, "~ x + visit +", bars); fx <- paste(v, "~ x + visit"); fs <- paste(v, "~ x")
  structured(g("ar1_repeats"), f("ar1(0 + C(visit) | a)"), "repeats", fx, list(by_visit("ar1", re)), F)
  if (v == "yp") structured(g("ar1_visits"), f("ar1(0 + C(visit) | a)"), "visits", fx, list(by_visit("ar1", vi)), F)   # binary: one response a visit says too little
  structured(g("ar1_repeats_centre"), f("ar1(0 + C(visit) | a) + (1 | b)"), "repeats", fx, c(list(by_visit("ar1", re)), centre), F)
  structured(g("ou_repeats"), f("ou(0 + t | a)"), "repeats", fx, list(by_time(re)), F)
  structured(g("ou_repeats_centre"), f("ou(0 + t | a) + (1 | b)"), "repeats", fx, c(list(by_time(re)), centre), F)
  if (v == "yp") structured(g("ou_visits"), f("ou(0 + t | a)"), "visits", fx, list(by_time(vi)), F)
  for (k in c("cs", "homcs")) structured(g(paste0(k, "_repeats")), f(sprintf("%s(0 + C(visit) | a)", k)), "repeats", fx, list(by_visit(k, re)), F)
  if (v == "yp") structured(g("cs_repeats_centre"), f("cs(0 + C(visit) | a) + (1 | b)"), "repeats", fx, c(list(by_visit("cs", re)), centre), F)
  if (v == "yp") for (k in c("cs", "toep")) structured(g(paste0(k, "_sibling")), paste0(v, " ~ x + ", k, "(0 + C(c) | a)"), "sibling", fs, list(by_c(k, si)), F)
  structured(g("homcs_sibling"), paste(v, "~ x + homcs(0 + C(c) | a)"), "sibling", fs, list(by_c("homcs", si)), F)
  structured(g("cs_slope"), paste(v, "~ x + cs(1 + x | a) + (1 | b)"), "cross", fs, list(term("a", ~ x, "cs"), term("b")), F)
}

# ---------------------------------------------------------------- homcs as two independent terms, where its correlation is positive
for (id in grep("homcs_repeats(_ml|_reml|_logit|_poisson)$", names(res), value = TRUE)) {
  e <- res[[id]]; F <- get(e$family)(); d <- re; pr <- prepare(d, list(term("a"), term("a:visit"))); rho <- e$terms[[1]]$natural$rho
  x <- tmb_search(paste(all.vars(as.formula(sub("\\+ homcs.*", "", e$formula)))[1], "~ x + visit"), pr$d, pr$terms, F, NULL, isTRUE(e$reml), starts = c(0.5, 2)); v <- sapply(tmb_cov(x, pr$terms), function(s) s[1, 1])
  res[[id]]$two_terms <- list(m2loglik = 2 * x$f, sd = num(sqrt(v))); cat(id, "as two terms: -2 log L", sprintf("%.1e", 2 * x$f - e$m2loglik), "sd", sqrt(sum(v)) - e$terms[[1]]$natural$sd, "rho", v[1] / sum(v) - rho, "\n")
}
save_entries(file.path(out, "structures.json"), part)

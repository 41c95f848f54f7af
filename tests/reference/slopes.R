# Mixed models with random slopes of one grouping factor, independent of glimm: lme4 for linear models, glmmTMB for Laplace.
#
# How to run: install R with lme4, glmmTMB and jsonlite (Debian: r-base-core r-cran-lme4 r-cran-glmmtmb r-cran-jsonlite), then here:
#   Rscript slopes.R data .
# First argument: the folder with the csv files (sim_slopes.csv is made by sim_slopes.py); second: where slopes.json is written.
#
# "loglik" is the best that was found: several optimisers from several starts, in raw and in working coordinates of the random
# effects (z A: the same model for an unstructured covariance), and the models on the boundary themselves (a covariance of lower
# rank, a variance of zero), because optimisers stop short of it. Each is polished by Newton steps on the program's own objective.
# "loglik_by" says what each found, "rank" the rank of the best covariance. The best of lowest rank is stored if it is within 1e-8.
# "cov" is the covariance of the effects of one level, b (q x q, in the order of "effects"); ranef = conditional modes at the optimum;
# ranef_condsd at fixed parameters. theta: lower triangle of T by column, cov = T T' (LMM: sigma^2 T T'), for "diag" its diagonal; NULL if singular.
# LMM: se = conditional on theta. GLMM: joint Hessian; vcov_all is the covariance of (coef, theta[, log sigma]).
args <- commandArgs(TRUE); ddir <- args[1]; out <- args[2]; only <- if (length(args) > 2) args[3] else "."
suppressMessages({library(lme4); library(glmmTMB); library(jsonlite)})
options(contrasts = c("contr.treatment", "contr.poly"), warn = -1)
ver <- function(...) paste(c(paste("R", getRversion()), sapply(c(...), function(p) paste(p, packageVersion(p)))), collapse = ", ")
rd <- function(n) read.csv(file.path(ddir, paste0(n, ".csv")), stringsAsFactors = TRUE)
res <- list(); nl <- function(x) as.list(x); mat <- function(m) unname(as.matrix(m)); num <- function(x) I(as.numeric(x))
try0 <- function(e) { r <- try(e, silent = TRUE); if (inherits(r, "try-error")) NULL else r }

# ---------------------------------------------------------------- differences of 6th order, factors of any rank
st <- c(-1, 9, -45, 0, 45, -9, 1) / 60; s2 <- c(2, -27, 270, -490, 270, -27, 2) / 180; kk <- -3:3
grad6 <- function(fn, p, h) sapply(seq_along(p), function(i) sum(sapply(which(st != 0), function(k) { q <- p; q[i] <- q[i] + kk[k] * h[i]; st[k] * fn(q) })) / h[i])
jac6 <- function(fn, p, h) sapply(seq_along(p), function(i) { v <- 0; for (k in which(st != 0)) { q <- p; q[i] <- q[i] + kk[k] * h[i]; v <- v + st[k] * fn(q) }; v / h[i] })
hess6 <- function(fn, p, h) {
  n <- length(p); H <- matrix(0, n, n); along <- function(d) sum(sapply(1:7, function(k) s2[k] * fn(p + kk[k] * h * d)))
  e <- diag(n); for (i in 1:n) H[i, i] <- along(e[, i]) / h[i]^2
  if (n > 1) for (i in 2:n) for (j in 1:(i - 1)) H[i, j] <- H[j, i] <- (along(e[, i] + e[, j]) - along(e[, i] - e[, j])) / (4 * h[i] * h[j])
  H
}
trapezoid <- function(S, r) {                              # lower-trapezoidal F (q x r), F F' = the part of S of rank r
  e <- eigen(S, symmetric = TRUE); B <- e$vectors[, 1:r, drop = FALSE] %*% diag(sqrt(pmax(e$values[1:r], 1e-12)), r)
  R <- qr.R(qr(t(B), LAPACK = FALSE)); F <- t(R); F %*% diag(ifelse(diag(F[1:r, 1:r, drop = FALSE]) < 0, -1, 1), r)
}
lower <- function(q) which(lower.tri(diag(q), diag = TRUE))

# ---------------------------------------------------------------- LMM
# us: b = A b_w, b_w ~ N(0, sigma^2 T T'); the model in b_w is written with explicit columns, so that every structure is the same code
lmm_put <- function(id, formula, data, fixed, d, Z, group, structure = "us", A = diag(ncol(Z)), reml = FALSE, w = NULL, ...) {
  if (!grepl(only, id)) return(invisible())
  q <- ncol(Z); effects <- colnames(Z); Zw <- Z %*% A; zn <- paste0(".z", 1:q); d[zn] <- as.data.frame(Zw); d$.g <- factor(d[[group]]); d$.w <- if (is.null(w)) rep(1, nrow(d)) else w
  bars <- if (structure == "us") paste0("(0 + ", paste(zn, collapse = " + "), " | .g)") else paste0("(0 + ", zn, " | .g)", collapse = " + ")
  fm <- as.formula(paste(fixed, "+", bars)); lc <- lmerControl(check.nobs.vs.nRE = "ignore", check.nobs.vs.nlev = "ignore", check.nlev.gtr.1 = "ignore", check.scaleX = "ignore", calc.derivs = FALSE)
  lf <- lFormula(fm, d, REML = reml, weights = .w, control = lc); dv <- do.call(mkLmerDevfun, lf)
  m <- length(environment(dv)$pp$theta); toT <- function(th) { T <- matrix(0, q, q); if (structure == "us") T[lower(q)] <- th else diag(T) <- th; T }
  by <- list(); best <- list(f = Inf); seen <- function(name, th) { f <- dv(th); by[[name]] <<- -f / 2; if (is.finite(f) && f < best$f) best <<- list(f = f, th = th) }
  base <- if (structure == "us") diag(q)[lower(q)] else rep(1, q)
  optimisers <- list(bobyqa = list("bobyqa", list(maxfun = 2e5, rhoend = 1e-9)), nelder_mead = list("Nelder_Mead", list(maxfun = 1e5, FtolAbs = 1e-12, FtolRel = 1e-15, XtolRel = 1e-10)),
    nloptwrap = list("nloptwrap", list(maxeval = 1e5, xtol_abs = 1e-10, ftol_abs = 1e-12)))
  for (o in names(optimisers)) for (s in c(1, 0.1)) { r <- try0(optimizeLmer(dv, optimizer = optimisers[[o]][[1]], control = optimisers[[o]][[2]], start = s * base)); if (!is.null(r)) seen(paste0(o, if (s != 1) " from 0.1"), r$par) }
  g <- try0(glmmTMB(fm, d, REML = reml, weights = .w, control = glmmTMBControl(optCtrl = list(iter.max = 1e4, eval.max = 1e4, rel.tol = 1e-14))))
  if (!is.null(w)) g <- NULL                                # glmmTMB multiplies a row's log-likelihood by its weight: another model
  if (!is.null(g) && is.finite(g$fit$objective)) by$glmmTMB <- -g$fit$objective
  # every rank, polished
  S <- tcrossprod(toT(best$th)); ranks <- if (structure == "us") 0:q else 0:(2^q - 1); found <- list()
  for (r in ranks) {
    if (structure == "us") { free <- if (r > 0) { M <- matrix(FALSE, q, q); M[, 1:r] <- TRUE; which(M[lower(q)]) } else integer(); full <- function(p) { th <- numeric(m); th[free] <- p; th }
      start <- if (r > 0) { T <- matrix(0, q, q); T[, 1:r] <- trapezoid(S, r); T[lower(q)][free] } else numeric() }
    else { free <- which(bitwAnd(r, 2^(0:(q - 1))) > 0); full <- function(p) { th <- numeric(m); th[free] <- p; th }; start <- pmax(best$th[free], 0.1) }
    k <- if (structure == "us") r else length(free); fn <- function(p) dv(full(p))
    if (length(free)) {
      o <- try0(nlminb(start, fn, control = list(rel.tol = 1e-15, eval.max = 5000, iter.max = 2000))); if (is.null(o)) next
      p <- o$par; h <- 0.02 * pmax(abs(p), 0.05 * max(abs(p)))
      for (it in 1:8) { H <- try0(hess6(fn, p, h)); s <- if (is.null(H)) NULL else try0(-solve(H, grad6(fn, p, h))); if (is.null(s) || !all(is.finite(s)) || max(abs(s)) > 0.2 * max(abs(p)) || fn(p + s) > fn(p) + 1e-9) break; p <- p + s; if (max(abs(s)) < 1e-11) break }
      if (fn(p) > o$objective + 1e-9) p <- o$par
    } else p <- numeric()
    found[[length(found) + 1]] <- list(f = fn(p), th = full(p), k = k); by[[paste0("rank ", k, if (structure != "us" && k == 1 && q > 1) paste0(" (", zn[free], ")"))]] <- -fn(p) / 2
  }
  top <- min(sapply(found, `[[`, "f")); pick <- Filter(function(x) x$f <= top + 2e-8, found); pick <- pick[[which.min(sapply(pick, `[[`, "k"))]]
  if (best$f < top - 2e-8) cat("  ", id, ": an optimiser is better than the ranks by", (top - best$f) / 2, "\n")
  th <- pick$th; f <- mkMerMod(environment(dv), list(par = th, fval = dv(th), conv = 0, feval = 0, message = ""), lf$reTrms, fr = lf$fr)
  T <- A %*% toT(th); s <- sigma(f); S <- tcrossprod(T); wt <- d$.w; X <- getME(f, "X"); e <- as.numeric(model.response(lf$fr) - X %*% fixef(f))
  b <- condsd <- list(); for (l in levels(d$.g)) { i <- d$.g == l; Zi <- Z[i, , drop = FALSE]; P <- T %*% solve(crossprod(Zi %*% T, wt[i] * (Zi %*% T)) + diag(q), t(T)); b[[l]] <- num(P %*% crossprod(Zi, wt[i] * e[i])); condsd[[l]] <- num(s * sqrt(pmax(diag(P), 0))) }
  res[[id]] <<- list(kind = "lmm", formula = formula, data = data, reml = reml, ..., structure = structure, effects = I(effects), coef = nl(fixef(f)), se = nl(sqrt(diag(as.matrix(vcov(f))))), vcov = mat(vcov(f)),
    loglik = -top / 2, m2loglik = top, rank = pick$k, theta = if (pick$k == q) num(if (structure == "us") t(chol(S))[lower(q)] else diag(T)) else NULL, sigma = s, cov = mat(s^2 * S), ranef = b, ranef_condsd = condsd, loglik_by = by,
    note = paste0(ver("lme4", "glmmTMB"), ", lme4's deviance function"))
  if (data == "sim_slopes") res[[id]][c("ranef", "ranef_condsd")] <<- NULL
  cat(id, sprintf("%.9f rank %d of %d;", -top / 2, pick$k, q), paste(names(by), sprintf("%.1e", unlist(by) + top / 2), collapse = ", "), "\n")
}

# ---------------------------------------------------------------- GLMM, Laplace, by glmmTMB
con <- function(method = NULL) if (is.null(method)) glmmTMBControl(optCtrl = list(iter.max = 1e4, eval.max = 1e4, rel.tol = 1e-14, x.tol = 1e-12)) else glmmTMBControl(optimizer = optim, optArgs = list(method = method), optCtrl = list(maxit = 5000, reltol = 1e-15))
polish <- function(f) {                                    # Newton steps on TMB's gradient; p, -log L, Hessian
  o <- f$obj; o$env$inner.control$tol <- 1e-12; p <- f$fit$par; f0 <- o$fn(p); step <- NA; if (!is.finite(f0)) return(NULL)
  hj <- function(p) { J <- jac6(function(q) as.numeric(o$gr(q)), p, rep(1e-3, length(p))); J <- matrix(J, length(p)); (J + t(J)) / 2 }
  for (it in 1:8) { H <- try0(hj(p)); s <- if (is.null(H)) NULL else try0(-solve(H, as.numeric(o$gr(p)))); if (is.null(s) || !all(is.finite(s)) || max(abs(s)) > 1) break; f1 <- o$fn(p + s); if (!is.finite(f1) || f1 > f0 + 1e-9) break; p <- p + s; f0 <- f1; step <- max(abs(s)); if (step < 1e-12) break }
  H <- try0(hj(p)); o$fn(p); list(p = p, f = o$fn(p), H = H, step = step, o = o, fit = f, gradient = max(abs(o$gr(p))))
}
tmb_put <- function(id, formula, data, family, link, fam, fixed, d, Z, group, structure = "us", A = diag(ncol(Z)), offset = NULL, beta = NULL, glmer = FALSE, ..., offset_text = NULL) {
  if (!grepl(only, id)) return(invisible())
  q <- ncol(Z); effects <- colnames(Z); Zw <- Z %*% A; zn <- paste0(".z", 1:q); d[zn] <- as.data.frame(Zw); d$.g <- factor(d[[group]]); d$.o <- if (is.null(offset)) rep(0, nrow(d)) else offset
  by <- list(); found <- list(); p <- length(colnames(model.matrix(as.formula(sub("^.*~", "~", fixed)), d)))
  run <- function(name, term, k, free, start = NULL, method = NULL) {
    fm <- as.formula(paste(fixed, "+ offset(.o) +", term)); if (!is.null(beta)) start <- c(start, list(beta = beta[1:p], betad = if (fam$family == "gaussian") beta[p + 1] else 0))
    f <- try0(glmmTMB(fm, d, fam, control = con(method), start = start)); x <- if (is.null(f)) NULL else try0(polish(f)); if (is.null(x)) return(invisible())
    by[[name]] <<- -x$f; x$k <- k; x$free <- free; x$name <- name; found[[length(found) + 1]] <<- x
  }
  cols <- function(i) paste0("0 + ", paste(zn[i], collapse = " + ")); nc <- q * (q - 1) / 2
  if (structure == "us" && q > 1) {
    for (s in c(0.5, 0.1)) run(paste("us, start", s), paste0("us(", cols(1:q), " | .g)"), q, 1:q, list(theta = c(rep(log(s), q), rep(0, nc))))
    run("us, BFGS", paste0("us(", cols(1:q), " | .g)"), q, 1:q, list(theta = c(rep(log(0.3), q), rep(0.3, nc))), "BFGS")
    if (length(found)) { x <- found[[which.min(sapply(found, `[[`, "f"))]]; r <- x$o$report(x$o$env$last.par); S <- r$corr[[1]] * tcrossprod(r$sd[[1]]) } else S <- diag(q) * 0.1
    for (r in 1:(q - 1)) { F <- trapezoid(S, r); th <- c(diag(F[1:r, 1:r, drop = FALSE]), unlist(lapply(1:r, function(j) F[(j + 1):q, j])))
      run(paste("rank", r), paste0("rr(", cols(1:q), " | .g, d = ", r, ")"), r, 1:q, list(theta = th)); run(paste("rank", r, "BFGS"), paste0("rr(", cols(1:q), " | .g, d = ", r, ")"), r, 1:q, list(theta = 0 * th + 0.3), "BFGS") }
  } else for (r in 1:(2^q - 1)) { free <- which(bitwAnd(r, 2^(0:(q - 1))) > 0); for (s in c(0.5, 0.1)) run(paste0("diag ", paste(free, collapse = ","), ", start ", s), paste0("diag(", cols(free), " | .g)"), length(free), free, list(theta = rep(log(s), length(free)))) }
  g0 <- if (is.null(beta)) try0(glm(as.formula(paste(fixed, "+ offset(.o)")), fam, d, control = glm.control(epsilon = 1e-15, maxit = 200)))
  if (!is.null(g0)) { by$glm <- as.numeric(logLik(g0)); found[[length(found) + 1]] <- list(f = -by$glm, k = 0, free = integer(), g0 = g0, name = "glm") }
  if (glmer) { bars <- if (structure == "us") paste0("(", cols(1:q), " | .g)") else paste0("(0 + ", zn, " | .g)", collapse = " + ")
    f <- try0(glmer(as.formula(paste(fixed, "+ offset(.o) +", bars)), d, fam, control = glmerControl(optimizer = "bobyqa", optCtrl = list(maxfun = 2e5, rhoend = 1e-9), tolPwrss = 1e-12, calc.derivs = FALSE))); if (!is.null(f)) by$glmer <- as.numeric(logLik(f)) }
  fs <- sapply(found, `[[`, "f"); ks <- sapply(found, `[[`, "k"); top <- min(fs); ok <- which(fs <= top + 1e-8); ok <- ok[ks[ok] == min(ks[ok])]; x <- found[[ok[which.min(fs[ok])]]]
  entry <- list(kind = "glmm", formula = formula, data = data, family = family, link = link, points = 1, ..., structure = structure, effects = I(effects))
  if (!is.null(offset_text)) entry$offset <- offset_text
  if (!is.null(x$g0)) { cf <- summary(x$g0)$coefficients; entry <- c(entry, list(coef = nl(coef(x$g0)), se = nl(cf[, 2]), loglik = -top, rank = 0, cov = mat(diag(0, q)))) } else {
    o <- x$o; pp <- x$p; nm <- names(pp); ib <- which(nm == "beta"); V <- solve(x$H); AF <- A[, x$free, drop = FALSE]; gauss <- "betad" %in% nm
    S <- function(p) { o$fn(p); r <- o$report(o$env$last.par); AF %*% (if (structure == "diag" || length(x$free) == 1) diag(r$sd[[1]]^2, length(x$free)) else r$corr[[1]] * tcrossprod(r$sd[[1]])) %*% t(AF) }
    entry <- c(entry, list(coef = nl(setNames(pp[ib], names(fixef(x$fit)$cond))), se = nl(setNames(sqrt(diag(V))[ib], names(fixef(x$fit)$cond))), vcov = mat(V[ib, ib, drop = FALSE]), loglik = -top, rank = x$k, cov = mat(S(pp))))
    if (gauss) { id2 <- which(nm == "betad"); fac <- log(sigma(x$fit)) / x$fit$fit$par[[id2]]; entry$sigma <- exp(fac * pp[[id2]]) }
    if (x$k == q) {
      th <- function(p) { M <- S(p); if (structure == "us") t(chol(M))[lower(q)] else sqrt(diag(M)) }
      J <- matrix(0, length(pp), length(pp)); nt <- length(th(pp)); J[ib, ib] <- diag(length(ib)); J[length(ib) + 1:nt, ] <- matrix(jac6(th, pp, rep(1e-3, length(pp))), nt); if (gauss) J[length(pp), id2] <- fac
      entry$theta <- num(th(pp)); entry$vcov_all <- mat(J %*% V %*% t(J)); S(pp); full <- o$env$last.par; ir <- o$env$random; b <- A %*% matrix(full[ir], q)
      Hu <- as.matrix(o$env$spHess(full, random = TRUE)); lev <- levels(d$.g); stopifnot(ncol(b) == length(lev))
      entry$ranef <- setNames(lapply(seq_along(lev), function(j) num(b[, j])), lev)
      entry$ranef_condsd <- setNames(lapply(seq_along(lev), function(j) { i <- (j - 1) * q + 1:q; num(sqrt(diag(A %*% solve(Hu[i, i]) %*% t(A)))) }), lev)
    }
    entry$newton_step <- x$step; entry$max_gradient <- x$gradient; entry$found_by <- x$name
  }
  entry$loglik_by <- by; entry$note <- paste0(ver("glmmTMB", "TMB"), ", glmmTMB (nlminb or BFGS, then Newton on TMB's gradient)", if (glmer) paste0("; loglik_by$glmer: lme4 ", packageVersion("lme4"), " at tolPwrss = 1e-12"))
  if (data == "sim_slopes") entry[c("ranef", "ranef_condsd")] <- NULL
  res[[id]] <<- entry
  cat(id, sprintf("%.9f rank %d of %d;", -top, x$k, q), "step", format(x$step, digits = 2), "sd", format(sqrt(diag(entry$cov)), digits = 3), ";", paste(names(by), sprintf("%.1e", unlist(by) + top), collapse = ", "), "\n")
}

# ---------------------------------------------------------------- public data
ss <- rd("lme4_sleepstudy"); cb <- rd("lme4_cbpp"); cb$fperiod <- factor(cb$period); gt <- rd("lme4_grouseticks"); gt$YEAR <- factor(gt$YEAR); ep <- rd("MASS_epil"); ep$trt <- relevel(ep$trt, "placebo")
to <- rd("HSAUR3_toenail"); to$y <- as.integer(to$outcome == "moderate or severe"); to$month <- c(0, 1, 2, 3, 6, 9, 12)[to$visit]
co <- rd("mlmRev_Contraception"); co$y <- as.integer(co$use == "Y"); sz <- rd("seizure_long"); oh <- rd("geepack_ohio")
zc <- function(...) { z <- cbind(...); storage.mode(z) <- "double"; z }
Zd <- zc(Intercept = 1, Days = ss$Days); Zd2 <- zc(Intercept = 1, Days = ss$Days, `I(Days ** 2)` = ss$Days^2); Zd3 <- cbind(Zd2, `I(Days ** 3)` = ss$Days^3)
Zu <- zc(Intercept = 1, `urban[T.Y]` = co$urban == "Y"); Zu0 <- zc(`urban[N]` = co$urban == "N", `urban[Y]` = co$urban == "Y")
lv <- model.matrix(~ 0 + livch, co); Zl0 <- lv; colnames(Zl0) <- paste0("livch[", levels(co$livch), "]"); Zl <- cbind(Intercept = 1, lv[, -1]); colnames(Zl)[-1] <- paste0("livch[T.", levels(co$livch)[-1], "]")
Ad <- function(t, degree) { C <- solve(chol(crossprod(outer(t, 0:degree, `^`)) / length(t))); C }   # working columns: polynomials orthonormal over the rows
for (r in c(FALSE, TRUE)) { s <- if (r) "_reml" else "_ml"
  lmm_put(paste0("lmm_sleep_us", s), "Reaction ~ Days + (Days | Subject)", "lme4_sleepstudy", "Reaction ~ Days", ss, Zd, "Subject", reml = r)
  lmm_put(paste0("lmm_sleep_diag", s), "Reaction ~ Days + (Days || Subject)", "lme4_sleepstudy", "Reaction ~ Days", ss, Zd, "Subject", "diag", reml = r)
  lmm_put(paste0("lmm_sleep_slope", s), "Reaction ~ Days + (0 + Days | Subject)", "lme4_sleepstudy", "Reaction ~ Days", ss, Zd[, 2, drop = FALSE], "Subject", reml = r)
  lmm_put(paste0("lmm_sleep_random_only", s), "Reaction ~ 1 + (Days | Subject)", "lme4_sleepstudy", "Reaction ~ 1", ss, Zd, "Subject", reml = r)
  lmm_put(paste0("lmm_sleep_weights_us", s), "Reaction ~ Days + (Days | Subject)", "lme4_sleepstudy", "Reaction ~ Days", ss, Zd, "Subject", reml = r, w = 1 + ss$Days, weights = "1 + Days")
  lmm_put(paste0("lmm_sleep_square_us", s), "Reaction ~ Days + I(Days ** 2) + (Days + I(Days ** 2) | Subject)", "lme4_sleepstudy", "Reaction ~ Days + I(Days^2)", ss, Zd2, "Subject", A = Ad(ss$Days, 2), reml = r)
  lmm_put(paste0("lmm_sleep_square_diag", s), "Reaction ~ Days + I(Days ** 2) + (Days + I(Days ** 2) || Subject)", "lme4_sleepstudy", "Reaction ~ Days + I(Days^2)", ss, Zd2, "Subject", "diag", A = diag(c(1, .1, .01)), reml = r)
  lmm_put(paste0("lmm_sleep_cube_us", s), "Reaction ~ Days + (Days + I(Days ** 2) + I(Days ** 3) | Subject)", "lme4_sleepstudy", "Reaction ~ Days", ss, Zd3, "Subject", A = Ad(ss$Days, 3), reml = r)
  lmm_put(paste0("lmm_contra_urban_us", s), "age ~ urban + (urban | district)", "mlmRev_Contraception", "age ~ urban", co, Zu, "district", reml = r)
  lmm_put(paste0("lmm_contra_urban_levels", s), "age ~ urban + (0 + urban | district)", "mlmRev_Contraception", "age ~ urban", co, Zu0, "district", reml = r)
  lmm_put(paste0("lmm_contra_urban_diag", s), "age ~ urban + (urban || district)", "mlmRev_Contraception", "age ~ urban", co, Zu, "district", "diag", reml = r)
  lmm_put(paste0("lmm_contra_livch_levels", s), "age ~ livch + (0 + livch | district)", "mlmRev_Contraception", "age ~ livch", co, Zl0, "district", reml = r)
  lmm_put(paste0("lmm_contra_livch_diag", s), "age ~ livch + (livch || district)", "mlmRev_Contraception", "age ~ livch", co, Zl, "district", "diag", reml = r)
  lmm_put(paste0("lmm_toenail_unbalanced", s), "time ~ C(treatment) + (visit | patientID)", "HSAUR3_toenail", "time ~ treatment", to, zc(Intercept = 1, visit = to$visit), "patientID", A = Ad(to$visit, 1), reml = r)
}
fx <- "y ~ age + I(age^2) + urban + livch"; gx <- "y ~ age + I(age**2) + urban + livch + "
for (l in c("logit", "probit", "cloglog")) tmb_put(paste0("glmm_contra_urban_", l), paste0(gx, "(urban | district)"), "mlmRev_Contraception", "binomial", l, binomial(l), fx, co, Zu, "district", glmer = l == "logit")
tmb_put("glmm_contra_urban_levels", paste0(gx, "(0 + urban | district)"), "mlmRev_Contraception", "binomial", "logit", binomial(), fx, co, Zu0, "district")
tmb_put("glmm_contra_urban_diag", paste0(gx, "(urban || district)"), "mlmRev_Contraception", "binomial", "logit", binomial(), fx, co, Zu, "district", "diag", glmer = TRUE)
tmb_put("glmm_contra_age_us", "y ~ age + urban + (age | district)", "mlmRev_Contraception", "binomial", "logit", binomial(), "y ~ age + urban", co, zc(Intercept = 1, age = co$age), "district", A = diag(c(1, .1)))
tmb_put("glmm_contra_age_random_only", "y ~ urban + (age | district)", "mlmRev_Contraception", "binomial", "logit", binomial(), "y ~ urban", co, zc(Intercept = 1, age = co$age), "district", A = diag(c(1, .1)))
tmb_put("glmm_contra_three", "y ~ age + urban + (age + urban | district)", "mlmRev_Contraception", "binomial", "logit", binomial(), "y ~ age + urban", co, cbind(Intercept = 1, age = co$age, Zu[, 2, drop = FALSE]), "district", A = diag(c(1, .1, 1)))
tmb_put("glmm_cbpp_period", "incidence / size ~ C(period) + (period | herd)", "lme4_cbpp", "binomial", "logit", binomial(), "cbind(incidence, size - incidence) ~ fperiod", cb, zc(Intercept = 1, period = cb$period), "herd", A = Ad(cb$period, 1), glmer = TRUE)
tmb_put("glmm_cbpp_period_probit", "incidence / size ~ C(period) + (period | herd)", "lme4_cbpp", "binomial", "probit", binomial("probit"), "cbind(incidence, size - incidence) ~ fperiod", cb, zc(Intercept = 1, period = cb$period), "herd", A = Ad(cb$period, 1))
tmb_put("glmm_cbpp_period_cloglog", "incidence / size ~ C(period) + (0 + period | herd)", "lme4_cbpp", "binomial", "cloglog", binomial("cloglog"), "cbind(incidence, size - incidence) ~ fperiod", cb, zc(period = cb$period), "herd")
tmb_put("glmm_seizure_post", "y ~ trt * post + (post | id)", "seizure_long", "poisson", "log", poisson(), "y ~ trt * post", sz, zc(Intercept = 1, post = sz$post), "id", offset = log(sz$weeks), glmer = TRUE, offset_text = "log(weeks)")
tmb_put("glmm_seizure_post_diag", "y ~ trt * post + (post || id)", "seizure_long", "poisson", "log", poisson(), "y ~ trt * post", sz, zc(Intercept = 1, post = sz$post), "id", "diag", offset = log(sz$weeks), offset_text = "log(weeks)")
tmb_put("glmm_seizure_visit", "y ~ trt * post + (post + visit | id)", "seizure_long", "poisson", "log", poisson(), "y ~ trt * post", sz, zc(Intercept = 1, post = sz$post, visit = sz$visit), "id", A = diag(c(1, 1, .3)), offset = log(sz$weeks), offset_text = "log(weeks)")
tmb_put("glmm_epil_period", "y ~ lbase * C(trt) + (period | subject)", "MASS_epil", "poisson", "log", poisson(), "y ~ lbase * trt", ep, zc(Intercept = 1, period = ep$period), "subject", A = Ad(ep$period, 1), offset = rep(log(2), nrow(ep)), offset_text = "log(2)")
tmb_put("glmm_epil_V4", "y ~ lbase * C(trt) + V4 + (V4 | subject)", "MASS_epil", "poisson", "log", poisson(), "y ~ lbase * trt + V4", ep, zc(Intercept = 1, V4 = ep$V4), "subject", offset = rep(log(2), nrow(ep)), offset_text = "log(2)")
tmb_put("glmm_ticks_location", "TICKS ~ C(YEAR) + cHEIGHT + (0 + C(YEAR) | LOCATION)", "lme4_grouseticks", "poisson", "log", poisson(), "TICKS ~ YEAR + cHEIGHT", gt, zc(`YEAR[95]` = gt$YEAR == 95, `YEAR[96]` = gt$YEAR == 96, `YEAR[97]` = gt$YEAR == 97), "LOCATION")
tmb_put("glmm_sleep_log_us", "Reaction ~ Days + (Days | Subject)", "lme4_sleepstudy", "gaussian", "log", gaussian("log"), "Reaction ~ Days", ss, Zd, "Subject", A = diag(c(.3, .1)), beta = c(5.5, .03, 2 * log(25)))
tmb_put("glmm_ohio_age", "resp ~ age * smoke + (age | id)", "geepack_ohio", "binomial", "logit", binomial(), "resp ~ age * smoke", oh, zc(Intercept = 1, age = oh$age), "id")
tmb_put("glmm_toenail_month", "y ~ C(treatment) * month + (month | patientID)", "HSAUR3_toenail", "binomial", "logit", binomial(), "y ~ treatment * month", to, zc(Intercept = 1, month = to$month), "patientID", A = diag(c(3, .5)))

# ---------------------------------------------------------------- the simulated designs
si <- rd("sim_slopes"); fams <- list(binomial = binomial(), poisson = poisson())
for (name in as.character(unique(si$design))) {
  d <- droplevels(si[si$design == name, ]); parts <- strsplit(name, "_")[[1]]; fam <- parts[1]; model <- parts[2]
  f <- c(us2 = "y ~ x + (x | g)", us3 = "y ~ x + z + (x + z | g)", diag2 = "y ~ x + (x || g)", slope = "y ~ x + (0 + x | g)", random = "y ~ 1 + (x | g)")[[model]]; fixed <- sub(" \\+ \\(.*", "", f)
  Z <- if (model == "us3") zc(Intercept = 1, x = d$x, z = d$z) else if (model == "slope") zc(x = d$x) else zc(Intercept = 1, x = d$x)
  A <- if (ncol(Z) == 1) diag(1 / sqrt(mean(d$x^2)), 1) else if (model == "diag2") diag(c(1, 1 / sqrt(mean(d$x^2)))) else diag(ncol(Z)); if (model %in% c("us2", "us3", "random")) { A[1, 2] <- -mean(d$x) / sd(d$x); A[2, 2] <- 1 / sd(d$x) }
  s <- if (model == "diag2") "diag" else "us"
  if (fam == "lmm") for (r in c(FALSE, TRUE)) lmm_put(paste0("sim_", name, if (r) "_reml" else "_ml"), f, "sim_slopes", fixed, d, Z, "g", s, A, reml = r, design = name)
  else tmb_put(paste0("sim_", name), f, "sim_slopes", fam, fams[[fam]]$link, fams[[fam]], fixed, d, Z, "g", s, A, design = name)
}
write_json(res, file.path(out, if (only == ".") "slopes.json" else "slopes_some.json"), auto_unbox = TRUE, digits = NA, pretty = FALSE, null = "null")

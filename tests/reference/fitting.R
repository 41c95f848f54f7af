# What several.R, sim_several.R, structures.R and mixed_families.R share: fits of mixed models with several random terms by lme4 and glmmTMB.
#
# A term is term(group, effects, structure): "a:b" is an interaction of factors; effects is a one-sided R formula such as ~ 1 + x.
# Both programs get the columns of the effects (.z1_1, ...) and a factor of its own for each term (.g1), so the order of the terms is ours.
# Every fit is the best of several optimisers and starts, then polished by Newton steps, and compared with the models on the boundary
# (a variance of zero, a covariance of lower rank): the best of lowest rank within 1e-8 is stored. "loglik_by" says what each found.
suppressMessages({library(lme4); library(glmmTMB); library(jsonlite)})
options(contrasts = c("contr.treatment", "contr.poly"), warn = -1)
ver <- function(...) paste(c(paste("R", getRversion()), sapply(c(...), function(p) paste(p, packageVersion(p)))), collapse = ", ")
res <- list(); nl <- function(x) as.list(x); mat <- function(m) { m <- unname(as.matrix(m)); storage.mode(m) <- "double"; m }; num <- function(x) I(as.numeric(x))
try0 <- function(e) { r <- try(e, silent = TRUE); if (inherits(r, "try-error")) NULL else r }
read_data <- function(folder, stem) { f <- file.path(folder, paste0(stem, ".csv")); read.csv(if (file.exists(f)) f else paste0(f, ".gz"), stringsAsFactors = TRUE) }
save_entries <- function(file, part) {                     # a part replaces its entries in the file, and leaves the others
  old <- if (part != "." && file.exists(file)) fromJSON(file, simplifyVector = FALSE) else list()
  old[names(res)] <- res
  text <- gsub('},"', '},\n"', toJSON(old, auto_unbox = TRUE, digits = NA, null = "null", na = "null"), fixed = TRUE)
  writeLines(text, file)
}

# ---------------------------------------------------------------- differences of 6th order
st <- c(-1, 9, -45, 0, 45, -9, 1) / 60; s2 <- c(2, -27, 270, -490, 270, -27, 2) / 180; kk <- -3:3
grad6 <- function(fn, p, h) sapply(seq_along(p), function(i) sum(sapply(which(st != 0), function(k) { q <- p; q[i] <- q[i] + kk[k] * h[i]; st[k] * fn(q) })) / h[i])
jac6 <- function(fn, p, h) sapply(seq_along(p), function(i) { v <- 0; for (k in which(st != 0)) { q <- p; q[i] <- q[i] + kk[k] * h[i]; v <- v + st[k] * fn(q) }; v / h[i] })
hess6 <- function(fn, p, h) {
  n <- length(p); H <- matrix(0, n, n); along <- function(d) sum(sapply(1:7, function(k) s2[k] * fn(p + kk[k] * h * d)))
  e <- diag(n); for (i in seq_len(n)) H[i, i] <- along(e[, i]) / h[i]^2
  if (n > 1) for (i in 2:n) for (j in 1:(i - 1)) H[i, j] <- H[j, i] <- (along(e[, i] + e[, j]) - along(e[, i] - e[, j])) / (4 * h[i] * h[j])
  H
}
lower <- function(q) which(lower.tri(diag(q), diag = TRUE))
trapezoid <- function(S, r) {                              # lower-trapezoidal F (q x r), F F' = the part of S of rank r
  e <- eigen(S, symmetric = TRUE); B <- e$vectors[, 1:r, drop = FALSE] %*% diag(sqrt(pmax(e$values[1:r], 1e-12)), r)
  F <- t(qr.R(qr(t(B), LAPACK = FALSE))); F %*% diag(ifelse(diag(F[1:r, 1:r, drop = FALSE]) < 0, -1, 1), r)
}

# ---------------------------------------------------------------- terms
term <- function(group, effects = ~ 1, structure = "us", names = NULL) list(group = group, effects = effects, structure = structure, names = names)
glimm_names <- function(Z, f, d) {                         # "(Intercept)" -> "Intercept", "btypescold" -> "btype[T.scold]"
  n <- colnames(Z); intercept <- "(Intercept)" %in% n
  for (v in all.vars(f)) if (is.factor(d[[v]])) for (l in levels(d[[v]])) n[n == paste0(v, l)] <- paste0(v, "[", if (intercept) "T.", l, "]")
  sub("(Intercept)", "Intercept", n, fixed = TRUE)
}
prepare <- function(d, terms) {
  for (i in seq_along(terms)) {
    t <- terms[[i]]; Z <- model.matrix(t$effects, d); q <- ncol(Z); z <- paste0(".z", i, "_", 1:q); storage.mode(Z) <- "double"
    if (is.null(t$names)) t$names <- glimm_names(Z, t$effects, d)
    d[z] <- as.data.frame(Z); g <- paste0(".g", i)
    d[[g]] <- interaction(lapply(strsplit(t$group, ":")[[1]], function(v) factor(d[[v]])), sep = ":", drop = TRUE, lex.order = TRUE)
    terms[[i]] <- c(t, list(q = q, z = z, g = g, levels = nlevels(d[[g]])))
  }
  list(d = d, terms = terms)
}
covariance_entry <- function(t, S, log_sd_se = NULL) {     # what is stored of a term
  sd <- sqrt(pmax(diag(S), 0)); small <- 1e-7 * max(sd, 1e-300); C <- S / outer(sd, sd); C[sd <= small, ] <- NA; C[, sd <= small] <- NA; C[C > 1] <- 1; C[C < -1] <- -1
  e <- list(group = t$group, effects = I(t$names), structure = t$structure, levels = t$levels, sd = num(sd), corr = if (t$q > 1) mat(C) else NULL, cov = mat(S))
  if (is.null(e$corr)) e$corr <- NULL
  if (!is.null(log_sd_se)) e$log_sd_se <- num(log_sd_se)
  e
}
rank_of <- function(S, scale = 1) { sd <- sqrt(pmax(diag(S), 0)); keep <- sd > 1e-6 * scale; if (!any(keep)) return(0); C <- S[keep, keep, drop = FALSE] / outer(sd[keep], sd[keep]); sum(eigen(C, symmetric = TRUE)$values > 1e-9) }

# ---------------------------------------------------------------- LMM by lme4's deviance function
lmm_best <- function(fixed, d, terms, reml, w = NULL, o = NULL, quick = FALSE) {
  bars <- unlist(lapply(terms, function(t) if (t$structure == "diag") paste0("(0 + ", t$z, " | ", t$g, ")") else paste0("(0 + ", paste(t$z, collapse = " + "), " | ", t$g, ")")))
  d$.w <- if (is.null(w)) rep(1, nrow(d)) else w; d$.o <- if (is.null(o)) rep(0, nrow(d)) else o
  lc <- lmerControl(check.nobs.vs.nRE = "ignore", check.nobs.vs.nlev = "ignore", check.nlev.gtr.1 = "ignore", check.scaleX = "ignore", calc.derivs = FALSE)
  lf <- lFormula(as.formula(paste(fixed, "+ offset(.o) +", paste(bars, collapse = " + "))), d, REML = reml, weights = .w, control = lc); dv <- do.call(mkLmerDevfun, lf)
  low <- environment(dv)$lower; m <- length(low); by <- list(); best <- list(f = Inf); tried <- list()
  seen <- function(name, th) { f <- dv(th); by[[name]] <<- -f / 2; x <- list(f = f, th = th, name = name); if (is.finite(f)) { tried[[length(tried) + 1]] <<- x; if (f < best$f) best <<- x } }
  base <- as.numeric(low == 0)
  optimisers <- list(bobyqa = list("bobyqa", list(maxfun = 2e5, rhoend = 1e-9)), nelder_mead = list("Nelder_Mead", list(maxfun = 1e5, FtolAbs = 1e-12, FtolRel = 1e-15, XtolRel = 1e-10)),
    nloptwrap = list("nloptwrap", list(maxeval = 1e5, xtol_abs = 1e-10, ftol_abs = 1e-12)))
  if (quick) optimisers <- optimisers[1]
  for (k in names(optimisers)) for (s in if (quick) 1 else c(1, 0.1)) { r <- try0(optimizeLmer(dv, optimizer = optimisers[[k]][[1]], control = optimisers[[k]][[2]], start = s * base)); if (!is.null(r)) seen(paste0(k, if (s != 1) " from 0.1"), r$par) }
  polish <- function(name, free, start) {                   # the parameters not in `free` are zero
    full <- function(p) { th <- numeric(m); th[free] <- p; th }; fn <- function(p) dv(full(p)); p <- start[free]; if (!length(free)) return(seen(name, full(p)))
    if (!quick) { r <- try0(nlminb(p, fn, lower = low[free], control = list(rel.tol = 1e-15, eval.max = 5000, iter.max = 2000))); if (!is.null(r) && r$objective <= fn(p)) p <- r$par }
    for (it in 1:8) {
      h <- 0.02 * pmax(abs(p), 0.05 * max(abs(p))); H <- try0(hess6(fn, p, h)); s <- if (is.null(H)) NULL else try0(-solve(H, grad6(fn, p, h)))
      if (is.null(s) || !all(is.finite(s)) || max(abs(s)) > 0.2 * max(abs(p)) || any((p + s)[low[free] == 0] < 0) || fn(p + s) > fn(p) + 1e-9) break
      p <- p + s; if (max(abs(s)) < 1e-9 * max(abs(p), 1)) break
    }
    seen(name, full(p))
  }
  start <- best$th; polish("polished", seq_len(m), start)
  for (limit in c(1e-4, 0.05)) { out <- which(low == 0 & start < limit); if (length(out)) polish(paste("zero:", paste(out, collapse = ",")), setdiff(seq_len(m), out), start) }
  if (!quick && sum(low == 0 & start < 0.05) > 1) for (i in which(low == 0 & start < 0.05)) polish(paste("zero:", i), setdiff(seq_len(m), i), start)
  if (!quick && sum(low == 0 & best$th > 0 & best$th < 0.3)) for (i in which(low == 0 & best$th > 0 & best$th < 0.3)) polish(paste("zero:", i), setdiff(seq_len(m), i), best$th)
  near <- Filter(function(x) x$f <= best$f + 2e-8, tried); zeros <- sapply(near, function(x) sum(x$th == 0 & low == 0)); near <- near[zeros == max(zeros)]
  best <- list(f = best$f, th = near[[which.min(sapply(near, `[[`, "f"))]]$th, name = near[[which.min(sapply(near, `[[`, "f"))]]$name)
  list(f = best$f, th = best$th, by = by, dv = dv, lf = lf, name = best$name, d = d)
}
lmm <- function(id, formula, data, fixed, d, terms, reml, w = NULL, o = NULL, quick = FALSE, tmb = !quick, ...) {
  if (!grepl(part, id)) return(invisible())
  pr <- prepare(d, terms); d <- pr$d; terms <- pr$terms; b <- lmm_best(fixed, d, terms, reml, w, o, quick); th <- b$th; dv <- b$dv
  f <- mkMerMod(environment(dv), list(par = th, fval = dv(th), conv = 0, feval = 0, message = ""), b$lf$reTrms, fr = b$lf$fr); s <- sigma(f)
  cn <- b$lf$reTrms$cnms; ends <- cumsum(sapply(cn, length) * (sapply(cn, length) + 1) / 2); begins <- c(1, head(ends, -1) + 1); where <- seq_along(cn)
  modes <- ranef(f, condVar = TRUE); stored <- list(); rank <- 0; effects <- 0
  for (t in terms) {
    S <- matrix(0, t$q, t$q)
    for (i in where) { k <- match(cn[[i]], t$z); if (anyNA(k)) next; T <- matrix(0, length(k), length(k)); T[lower(length(k))] <- th[begins[i]:ends[i]]; S[k, k] <- s^2 * tcrossprod(T) }
    e <- covariance_entry(t, S); effects <- effects + t$q * t$levels; rank <- rank + (e$rank <- rank_of(S, s))
    r <- modes[[t$g]]; v <- attr(r, "postVar"); if (is.list(v)) v <- NULL
    if (t$q * t$levels <= 60 && !is.null(v)) { e$ranef <- setNames(lapply(seq_len(t$levels), function(l) num(as.matrix(r)[l, t$z])), rownames(r)); e$ranef_condsd <- setNames(lapply(seq_len(t$levels), function(l) num(sqrt(pmax(diag(as.matrix(v[, , l])), 0)))), rownames(r)) }
    stored <- c(stored, list(e))
  }
  if (tmb && is.null(w)) { g <- tmb_search(fixed, d, terms, gaussian(), o, reml); if (!is.null(g)) b$by$glmmTMB <- -g$f }   # glmmTMB's weights are another model
  res[[id]] <<- list(kind = "lmm", formula = formula, data = data, reml = reml, ..., nobs = nrow(d), coef = nl(fixef(f)), se = nl(sqrt(diag(as.matrix(vcov(f))))), vcov = mat(vcov(f)), loglik = -b$f / 2, m2loglik = b$f,
    sigma = s, rank = rank, size = sum(sapply(terms, `[[`, "q")), terms = stored, loglik_by = b$by, note = paste0(ver("lme4", "glmmTMB"), ", lme4's deviance function"))
  cat(id, sprintf("%.9f rank %d of %d;", -b$f / 2, rank, res[[id]]$size), "sigma", signif(s, 4), "sd", signif(unlist(lapply(stored, `[[`, "sd")), 3), ";", paste(names(b$by), sprintf("%.1e", unlist(b$by) + b$f / 2), collapse = ", "), "\n")
}

# ---------------------------------------------------------------- glmmTMB
con <- function(method = NULL) if (is.null(method)) glmmTMBControl(optCtrl = list(iter.max = 1e4, eval.max = 1e4, rel.tol = 1e-14, x.tol = 1e-12)) else glmmTMBControl(optimizer = optim, optArgs = list(method = method), optCtrl = list(maxit = 5000, reltol = 1e-15))
polish_tmb <- function(f) {                                # Newton steps on TMB's gradient
  o <- f$obj; o$env$inner.control$tol <- 1e-12; p <- f$fit$par; f0 <- o$fn(p); step <- NA; if (!is.finite(f0)) return(NULL)
  hj <- function(p) { J <- matrix(jac6(function(q) as.numeric(o$gr(q)), p, rep(1e-3, length(p))), length(p)); (J + t(J)) / 2 }
  for (it in 1:8) { H <- try0(hj(p)); s <- if (is.null(H)) NULL else try0(-solve(H, as.numeric(o$gr(p)))); if (is.null(s) || !all(is.finite(s)) || max(abs(s)) > 1) break; f1 <- o$fn(p + s); if (!is.finite(f1) || f1 > f0 + 1e-9) break; p <- p + s; f0 <- f1; step <- max(abs(s)); if (step < 1e-11) break }
  H <- try0(hj(p)); list(p = p, f = as.numeric(o$fn(p)), H = H, step = step, o = o, fit = f, gradient = max(abs(o$gr(p))))
}
rho_size <- c(us = NA, diag = 0, cs = 1, homcs = 1, ar1 = 1, ou = 1, toep = NA)
start_theta <- function(kind, q, r, s) switch(kind, us = c(rep(log(s), q), rep(0, q * (q - 1) / 2)), diag = rep(log(s), q), cs = c(rep(log(s), q), 0.2), homcs = c(rep(log(s), q), 0.2),
  toep = c(rep(log(s), q), rep(0.1, q - 1)), ar1 = c(log(s), 0.3), ou = c(log(s), 0), rr = { F <- matrix(0, q, r); c(rep(s, r), rep(s / 2, q * r - r * (r + 1) / 2)) })
# state: one list per term, kind ("us", "rr", ...), cols (the effects that are left), r (rank of rr)
tmb_text <- function(t, s) {
  if (!length(s$cols)) return(NULL)
  if (!is.null(t$tmb)) return(paste0(if (s$kind == "homcs") "cs" else s$kind, "(", t$tmb, " | ", t$g, ")"))
  z <- paste0("0 + ", paste(t$z[s$cols], collapse = " + ")); if (length(s$cols) == 1) return(paste0("(", z, " | ", t$g, ")"))
  if (s$kind == "rr") paste0("rr(", z, " | ", t$g, ", d = ", s$r, ")") else paste0(if (s$kind == "homcs") "cs" else s$kind, "(", z, " | ", t$g, ")")
}
tmb_run <- function(name, fixed, d, terms, state, fam, reml, start, method = NULL, beta = NULL, theta = NULL) {
  text <- unlist(Map(tmb_text, terms, state)); size <- 0; map <- list(); tmap <- integer()
  th <- unlist(Map(function(t, s) if (length(s$cols)) { k <- if (length(s$cols) == 1 && is.null(t$tmb)) "diag" else s$kind; start_theta(k, if (is.null(t$tmb)) length(s$cols) else t$q, s$r, start) }, terms, state))
  for (i in seq_along(terms)) { s <- state[[i]]; k <- if (length(s$cols)) length(start_theta(if (length(s$cols) == 1 && is.null(terms[[i]]$tmb)) "diag" else s$kind, if (is.null(terms[[i]]$tmb)) length(s$cols) else terms[[i]]$q, s$r, 1)) else 0
    tmap <- c(tmap, if (s$kind == "homcs" && k > 0) length(tmap) + c(rep(1L, k - 1), k) else length(tmap) + seq_len(k)) }
  if (anyDuplicated(tmap)) map <- list(theta = factor(tmap))
  fm <- as.formula(paste(fixed, "+ offset(.o)", if (length(text)) paste("+", paste(text, collapse = " + "))))
  if (!is.null(theta)) th <- theta
  sv <- c(list(theta = th), if (!is.null(beta)) beta); if (!length(text)) sv$theta <- NULL; if (!length(sv)) sv <- NULL
  f <- try0(glmmTMB(fm, d, fam, REML = reml, control = con(method), start = sv, map = if (length(map)) map else NULL)); x <- if (is.null(f)) NULL else try0(polish_tmb(f)); if (is.null(x)) return(NULL)
  c(x, list(name = name, state = state))
}
tmb_cov <- function(x, terms) {                            # covariance of each term, zeros for effects that were left out
  x$o$fn(x$p); r <- x$o$report(x$o$env$last.par); j <- 0
  Map(function(t, s) {
    S <- matrix(0, t$q, t$q); if (!length(s$cols)) return(S); j <<- j + 1; sd <- r$sd[[j]]; C <- r$corr[[j]]; k <- if (is.null(t$tmb)) s$cols else seq_len(t$q)
    n <- length(sd); S0 <- if (is.null(C) || length(C) == 0 || (s$kind == "diag")) diag(sd^2, n) else C * tcrossprod(sd)
    if (nrow(S0) == length(k)) S[k, k] <- S0 else return(S0); S
  }, terms, x$state)
}
tmb_search <- function(fixed, d, terms, fam, o = NULL, reml = FALSE, quick = FALSE, beta = NULL, starts = c(0.5, 0.1, 2)) {
  d$.o <- if (is.null(o)) rep(0, nrow(d)) else o; by <- list(); found <- list()
  keep <- function(x) if (!is.null(x)) { by[[x$name]] <<- -x$f; x$size <- sum(sapply(x$state, function(s) if (s$kind == "rr") s$r else length(s$cols))); found[[length(found) + 1]] <<- x }
  best <- function() found[[which.min(sapply(found, `[[`, "f"))]]
  full <- lapply(terms, function(t) list(kind = if (t$q == 1 && is.null(t$tmb)) "diag" else t$structure, cols = seq_len(t$q), r = t$q)); run <- function(name, state, start, method = NULL) keep(tmb_run(name, fixed, d, terms, state, fam, reml, start, method, beta))
  for (s in if (quick) starts[1] else starts) run(paste("start", s), full, s)
  if (!quick && length(starts) > 2) run("BFGS", full, 0.3, "BFGS")
  if (!length(found)) return(NULL)
  reduce <- function(i, s, S, scale) {                      # a simpler state of term i if it is close to the boundary
    t <- terms[[i]]; if (!is.null(t$tmb)) return(NULL); sd <- sqrt(pmax(diag(S), 0))[s$cols]; gone <- sd < 0.03 * scale; if (!length(s$cols)) return(NULL)
    if (any(gone)) { s$cols <- s$cols[!gone]; if (s$kind == "rr") s$r <- min(s$r, length(s$cols)); return(s) }
    if (s$kind == "us" && length(s$cols) > 1) { e <- eigen(cov2cor(S[s$cols, s$cols]), symmetric = TRUE)$values; r <- sum(e > 0.02); if (r < length(s$cols)) { s$kind <- "rr"; s$r <- r; return(s) } }
    NULL
  }
  for (round in 1:3) {
    x <- best(); S <- tmb_cov(x, terms); scale <- if (fam$family == "gaussian" && fam$link == "identity") sigma(x$fit) else 1
    new <- lapply(seq_along(terms), function(i) reduce(i, x$state[[i]], S[[i]], scale)); at <- which(!sapply(new, is.null)); if (!length(at)) break
    before <- length(found)
    all <- x$state; all[at] <- new[at]; run(paste0("reduced ", paste(at, collapse = ","), " (", round, ")"), all, 0.5); if (any(sapply(all[at], function(s) s$kind == "rr"))) run(paste0("reduced, BFGS (", round, ")"), all, 0.3, "BFGS")
    if (length(at) > 1) for (i in at) { one <- x$state; one[i] <- new[i]; run(paste0("reduced ", i, " only (", round, ")"), one, 0.5) }
    if (identical(best()$state, x$state)) { new <- Filter(function(y) y$f <= x$f + 1e-8, found[-seq_len(before)]); if (!length(new)) break }
  }
  fs <- sapply(found, `[[`, "f"); top <- min(fs); ok <- which(fs <= top + 1e-8); sizes <- sapply(found[ok], `[[`, "size"); ok <- ok[sizes == min(sizes)]
  solid <- sapply(found[ok], function(x) is.finite(x$step) && x$step < 1e-4); if (any(solid)) ok <- ok[solid]
  x <- found[[ok[which.min(sapply(found[ok], `[[`, "gradient"))]]]; x$f <- top; x$by <- by; x
}
# a family's parameter in natural form, exp(factor * betad): gamma phi = 1 / shape, k: mu + mu^2 / k, alpha: mu (1 + alpha)
family_own <- function(fam) switch(fam$family, gaussian = list(sigma = 0.5), Gamma = list(phi = -1), nbinom2 = list(k = 1), nbinom1 = list(alpha = 1), beta = list(precision = 1), tweedie = list(phi = 1), list())
glmm <- function(id, formula, data, family, link, fam, fixed, d, terms, o = NULL, quick = FALSE, beta = NULL, glmer = FALSE, ...) {
  if (!grepl(part, id)) return(invisible())
  pr <- prepare(d, terms); d <- pr$d; terms <- pr$terms; x <- tmb_search(fixed, d, terms, fam, o, quick = quick, beta = beta)
  p <- x$p; nm <- names(p); ib <- which(nm == "beta"); V <- solve(x$H); S <- tmb_cov(x, terms); cf <- names(fixef(x$fit)$cond); se <- sqrt(pmax(diag(V), 0)); it <- which(nm == "theta"); at <- 0; stored <- list(); rank <- 0
  full <- x$o$env$last.par; ir <- x$o$env$random; u <- full[ir]; ui <- 0; su <- if (length(u) && length(u) <= 400) sqrt(diag(solve(as.matrix(x$o$env$spHess(full, random = TRUE))))) else NULL
  for (i in seq_along(terms)) {
    t <- terms[[i]]; s <- x$state[[i]]; n <- length(s$cols); lse <- NULL; whole <- n == t$q && s$kind != "rr"
    if (n) { size <- if (n == 1) 1 else length(start_theta(s$kind, n, s$r, 1)); if (whole) lse <- se[it[at + seq_len(n)]]; at <- at + size }
    e <- covariance_entry(t, S[[i]], lse); rank <- rank + (e$rank <- if (s$kind == "rr") s$r else n)
    if (n && s$kind == "rr") stopifnot(length(terms) > 0)
    if (whole && t$q * t$levels <= 60 && !is.null(su) && !any(sapply(x$state, function(y) y$kind == "rr"))) { k <- ui + seq_len(t$q * t$levels); lev <- levels(d[[t$g]])
      e$ranef <- setNames(lapply(seq_along(lev), function(j) num(matrix(u[k], t$q)[, j])), lev); e$ranef_condsd <- setNames(lapply(seq_along(lev), function(j) num(matrix(su[k], t$q)[, j])), lev) }
    ui <- ui + n * t$levels; stored <- c(stored, list(e))
  }
  entry <- list(kind = "glmm", formula = formula, data = data, family = family, link = link, points = 1, ..., nobs = nrow(d), coef = nl(setNames(p[ib], cf)), se = nl(setNames(se[ib], cf)), vcov = mat(V[ib, ib, drop = FALSE]),
    loglik = -x$f, m2loglik = 2 * x$f, rank = rank, size = sum(sapply(terms, `[[`, "q")), terms = stored)
  own <- family_own(fam); id2 <- which(nm == "betad")
  if (length(own) && length(id2)) { k <- names(own); v <- exp(own[[1]] * p[[id2]]); v_se <- abs(own[[1]]) * se[[id2]]
    if (k == "sigma") entry <- c(entry, list(sigma = v, log_sigma_se = v_se)) else { entry$parameters <- setNames(list(v), k); entry$log_se <- setNames(list(v_se), k) } }
  if (fam$family == "tweedie") { tf <- which(nm == "psi"); entry$parameters$power <- 1 + plogis(p[[tf]]); entry$logit_power_se <- se[[tf]] }   # logit(power - 1)
  if (glmer) { bars <- unlist(lapply(terms, function(t) if (t$structure == "diag") paste0("(0 + ", t$z, " | ", t$g, ")") else paste0("(0 + ", paste(t$z, collapse = " + "), " | ", t$g, ")"))); d$.o <- if (is.null(o)) rep(0, nrow(d)) else o
    f <- try0(glmer(as.formula(paste(fixed, "+ offset(.o) +", paste(bars, collapse = " + "))), d, fam, control = glmerControl(optimizer = "bobyqa", optCtrl = list(maxfun = 2e5, rhoend = 1e-9), tolPwrss = 1e-12, calc.derivs = FALSE))); if (!is.null(f)) x$by$glmer <- as.numeric(logLik(f)) }
  entry$newton_step <- x$step; entry$max_gradient <- x$gradient; entry$found_by <- x$name; entry$loglik_by <- x$by
  entry$note <- paste0(ver("glmmTMB", "TMB"), ", glmmTMB (nlminb or BFGS, then Newton on TMB's gradient)", if (glmer) paste0("; loglik_by$glmer: lme4 ", packageVersion("lme4"), " at tolPwrss = 1e-12"))
  res[[id]] <<- entry
  cat(id, sprintf("%.9f rank %d of %d;", -x$f, rank, entry$size), "step", format(x$step, digits = 2), "gradient", format(x$gradient, digits = 2), "sd", signif(unlist(lapply(stored, `[[`, "sd")), 3), ";", paste(names(x$by), sprintf("%.1e", unlist(x$by) + x$f), collapse = ", "), "\n")
}

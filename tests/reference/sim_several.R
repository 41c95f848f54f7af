# A hundred random designs with several grouping factors (sim_several.py), the best -2 log L of lme4 and of glmmTMB.
#
# How to run (R with lme4, glmmTMB and jsonlite; Python with NumPy), here:
#   python sim_several.py random FOLDER
#   Rscript sim_several.R FOLDER .           every design; writes sim_several.json
#   Rscript sim_several.R FOLDER . 7 12      only designs 7 .. 12; the others are kept
# lme4, linear models: its deviance function, several optimisers and starts, and every variance near zero tried at zero (fitting.R).
# lme4, others: glmer at one point with tolPwrss = 1e-12, the best of bobyqa from two starts and Nelder-Mead; its -2 log L is that of the last
# penalised iteration and may be off by some 1e-6. glmmTMB: several starts and optimisers, Newton steps, models on the boundary.
args <- commandArgs(TRUE); ddir <- args[1]; out <- args[2]; part <- if (length(args) > 3) "sim" else "."; numbers <- if (length(args) > 3) args[3]:args[4] else NULL
source("fitting.R")
index <- read.delim(file.path(ddir, "index.tsv"), stringsAsFactors = FALSE, colClasses = "character")
terms_of <- function(text) lapply(findbars(as.formula(text)), function(b) term(paste(all.vars(b[[3]])[if (grepl(":", deparse(b[[3]]))) seq_along(all.vars(b[[3]])) else 1], collapse = ":"), as.formula(paste("~", deparse(b[[2]])))))
glmer_best <- function(fixed, d, terms, fam) {
  fm <- as.formula(paste(fixed, "+", paste0("(0 + ", sapply(terms, function(t) paste(t$z, collapse = " + ")), " | ", sapply(terms, `[[`, "g"), ")", collapse = " + "))); f <- Inf
  ctl <- function(o, oc) glmerControl(optimizer = o, optCtrl = oc, tolPwrss = 1e-12, calc.derivs = FALSE, check.nobs.vs.nRE = "ignore", check.nobs.vs.nlev = "ignore", check.nlev.gtr.1 = "ignore")
  bo <- ctl("bobyqa", list(maxfun = 2e5, rhoend = 1e-9)); first <- try0(glmer(fm, d, fam, control = bo))
  if (!is.null(first)) { f <- -2 * as.numeric(logLik(first)); again <- list(theta = 0.3 * getME(first, "theta") + 0.1 * (getME(first, "lower") == 0), fixef = fixef(first))
    for (r in list(try0(glmer(fm, d, fam, control = bo, start = again)), try0(glmer(fm, d, fam, control = ctl("Nelder_Mead", list(maxfun = 1e5, FtolAbs = 1e-12, FtolRel = 1e-15, XtolRel = 1e-10)))))) if (!is.null(r)) f <- min(f, -2 * as.numeric(logLik(r))) }
  f
}
fams <- list(gaussian = gaussian(), binomial = binomial(), poisson = poisson())
for (i in seq_len(nrow(index))) {
  x <- index[i, ]; n <- as.integer(x$number); if (!is.null(numbers) && !(n %in% numbers)) next
  d <- read.csv(file.path(ddir, paste0(n, ".csv"))); pr <- prepare(d, terms_of(x$formula)); reml <- identical(x$reml, "True"); g <- x$family == "gaussian"
  a <- if (g) { b <- lmm_best("y ~ x", pr$d, pr$terms, reml); b$f } else glmer_best("y ~ x", pr$d, pr$terms, fams[[x$family]])
  t <- tmb_search("y ~ x", pr$d, pr$terms, fams[[x$family]], reml = reml); tf <- if (is.null(t)) Inf else 2 * t$f
  entry <- list(kind = if (g) "lmm" else "glmm", number = n, formula = x$formula, layout = x$layout, family = x$family, nobs = nrow(d), checksum = x$checksum)
  if (g) entry$reml <- reml
  entry$m2loglik <- list(lme4 = a, glmmTMB = tf); res[[paste0("sim_", n)]] <- entry
  cat(n, x$formula, x$family, sprintf("%.9f glmmTMB - lme4: %.1e", a, tf - a), "sd", if (!is.null(t)) signif(sqrt(unlist(lapply(tmb_cov(t, pr$terms), diag))), 2), "\n")
}
save_entries(file.path(out, "sim_several.json"), part)

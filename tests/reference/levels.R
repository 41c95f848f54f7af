# Proportional-odds models of rows taken as independent, by MASS::polr at tight tolerances: what an ordinal GEE under independence estimates.
#
# How to run: install R with MASS and jsonlite; then, in this folder: Rscript levels.R data .
# First argument: the folder with the csv files; second: the folder where levels_polr.json is written.
args <- commandArgs(TRUE); ddir <- args[1]; out <- args[2]
suppressMessages({library(MASS); library(jsonlite)})
koch <- read.csv(file.path(ddir, "geepack_koch.csv")); koch$day <- factor(koch$day); koch$y <- ordered(koch$y)
ver <- paste("R", getRversion(), "MASS", packageVersion("MASS"))
kept <- function(d, m) {
  start <- polr(y ~ trt + day, data = d, method = m, weights = times, Hess = TRUE)
  r <- polr(y ~ trt + day, data = d, method = m, weights = times, Hess = TRUE, start = c(coef(start), start$zeta),
            control = list(reltol = 1e-16, maxit = 10000))
  list(note = ver, thresholds = as.list(r$zeta), coefficients = as.list(coef(r)), loglik = as.numeric(logLik(r)),
       probability = unname(r$fitted.values[1:6, ]))
}
res <- list()  # without cauchit: polr ends the outer levels at t - x'b = -100 and 100, where 0.3 % of a Cauchy distribution are left
koch$times <- 1
for (m in c("logistic", "probit", "cloglog", "loglog")) res[[m]] <- kept(koch, m)
koch$times <- 1 + (seq_len(nrow(koch)) %% 3)
res$weights <- kept(koch, "logistic")
write_json(res, file.path(out, "levels_polr.json"), digits = NA, auto_unbox = TRUE)

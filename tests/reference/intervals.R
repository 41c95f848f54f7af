# Intervals of predictions, independent of glimm: predict.lm and predict.glm of R, and glmmTMB's standard errors of conditional predictions.
#
# How to run: install R with glmmTMB and jsonlite (Debian: r-base-core r-cran-glmmtmb r-cran-jsonlite), then here: Rscript intervals.R data .
# First argument: the folder with the csv files; second: where intervals.json is written.
#
# lm: weights divide the residual variance; for the rows of the fit predict.lm uses their weights, for new rows 1.
# glmmTMB: se is of the linear predictor with the cluster's effect; "free" with the uncertainty of all parameters, "given" with theta (and
# the dispersion of a gaussian model) held at the estimates.
args <- commandArgs(TRUE); ddir <- args[1]; out <- args[2]
suppressMessages({library(glmmTMB); library(jsonlite)})
options(contrasts = c("contr.treatment", "contr.poly"))
ver <- paste("R", getRversion(), "glmmTMB", packageVersion("glmmTMB"))
rd <- function(n) read.csv(file.path(ddir, paste0(n, ".csv")), stringsAsFactors = TRUE)
res <- list(version = ver)

sleep <- rd("lme4_sleepstudy")
sleep$w <- 0.5 + (seq_len(nrow(sleep)) %% 3)
new <- data.frame(Days = c(0, 4.5, 12))
for (w in c(FALSE, TRUE)) {
  fit <- if (w) lm(Reaction ~ Days, sleep, weights = w) else lm(Reaction ~ Days, sleep)
  own <- suppressWarnings(predict(fit, interval = "prediction"))[1:6, ]
  res[[if (w) "lm_weights" else "lm"]] <- list(prediction = unname(suppressWarnings(predict(fit, new, interval = "prediction", level = 0.9))),
    confidence = unname(predict(fit, new, interval = "confidence")), own = unname(own))
}
epil <- rd("MASS_epil")
fit <- glm(y ~ trt + lbase, poisson, epil, epsilon = 1e-15)
p <- predict(fit, epil[1:5, ], type = "link", se.fit = TRUE)
res$glm <- list(eta = unname(p$fit), se = unname(p$se.fit))

given <- function(id, formula, data, family = gaussian(), rows = 1:12, weights = NULL) {
  free <- glmmTMB(formula, data, family = family, weights = weights, control = glmmTMBControl(optCtrl = list(iter.max = 1e4, eval.max = 1e4, rel.tol = 1e-14)))
  par <- free$obj$env$parList(free$fit$par)
  map <- list(theta = factor(rep(NA, length(par$theta)))); start <- list(theta = par$theta)
  if (family$family == "gaussian") {
    disp <- if ("betad" %in% names(par)) "betad" else "betadisp"
    map[[disp]] <- factor(NA); start[[disp]] <- par[[disp]]
  }
  held <- glmmTMB(formula, data, family = family, map = map, start = start)
  one <- predict(free, data[rows, ], type = "link", se.fit = TRUE); two <- predict(held, data[rows, ], type = "link", se.fit = TRUE)
  res[[id]] <<- list(rows = rows - 1, eta = unname(one$fit), free = unname(one$se.fit), given = unname(two$se.fit))
}
given("sleepstudy", Reaction ~ Days + (1 + Days | Subject), sleep)
given("epil", y ~ trt + lbase + (1 | subject), epil, poisson())
given("contraception", as.integer(use == "Y") ~ urban + age + (1 | district), rd("mlmRev_Contraception"), binomial())
given("seizures", y ~ trt * V4 + (1 + V4 | subject), epil, poisson())
pen <- rd("lme4_Penicillin")
given("penicillin", diameter ~ 1 + (1 | plate) + (1 | sample), pen)
ticks <- rd("lme4_grouseticks")
ticks$INDEX <- factor(ticks$INDEX); ticks$BROOD <- factor(ticks$BROOD); ticks$LOCATION <- factor(ticks$LOCATION); ticks$h <- (ticks$HEIGHT - 460) / 40
given("grouseticks", TICKS ~ factor(YEAR) + h + (1 | BROOD) + (1 | LOCATION), ticks, poisson())
writeLines(gsub('},"', '},\n"', toJSON(res, auto_unbox = TRUE, digits = NA), fixed = TRUE), file.path(out, "intervals.json"))

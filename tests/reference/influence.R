# What R gives for influence: stats' cooks.distance, dfbetas, hatvalues; lme4's influence() by refits without each level.
#
# How to run: install R with lme4, geepack and jsonlite; then, in this folder: Rscript influence.R data .
# First argument: the folder with the csv files; second: the folder where influence.json is written.
args <- commandArgs(TRUE); ddir <- args[1]; out <- args[2]
suppressMessages({library(lme4); library(geepack); library(jsonlite)})
rd <- function(n) read.csv(file.path(ddir, paste0(n, ".csv")), stringsAsFactors = TRUE)
res <- list()
mat <- function(m) unname(as.matrix(m))
ss <- rd("lme4_sleepstudy"); ss$Subject <- factor(ss$Subject); ss$big <- as.integer(ss$Reaction > 300); ss$w <- 1 + ss$Days
cb <- rd("lme4_cbpp"); cb$period <- factor(cb$period); cb$herd <- factor(cb$herd)
ver <- paste("R", getRversion(), "lme4", packageVersion("lme4"))

# rows: dfbeta of glm uses deviance residuals, so only that of lm is kept
m <- lm(Reaction ~ Days, ss, weights = w)
res$lm <- list(note = ver, cooks = cooks.distance(m), hat = hatvalues(m), dfbeta = mat(dfbeta(m)))
m <- glm(big ~ Days, binomial, ss, epsilon = 1e-15)
res$logit <- list(note = ver, cooks = cooks.distance(m), hat = hatvalues(m))
m <- glm(incidence / size ~ period, binomial, cb, weights = size, epsilon = 1e-15)
res$trials <- list(note = ver, cooks = cooks.distance(m), hat = hatvalues(m))
ep <- rd("MASS_epil")
m <- glm(y ~ trt + lbase, Gamma("log"), transform(ep, y = y + 1), epsilon = 1e-15)
res$gamma <- list(note = ver, cooks = cooks.distance(m), hat = hatvalues(m))

# levels, by refits: coefficients without the level, theta and sigma there; cooks with vcov of the whole fit
refits <- function(m, g) {
  i <- influence(m, g)
  th <- t(sapply(levels(model.frame(m)[[g]]), function(l) {
    d <- model.frame(m); keep <- d[[g]] != l
    r <- update(m, data = get(as.character(m@call$data))[keep, ], start = if (isGLMM(m)) list(theta = getME(m, "theta"), fixef = fixef(m)) else getME(m, "theta"))
    c(fixef(r), getME(r, "theta"), sigma(r)) }))
  list(note = ver, levels = levels(model.frame(m)[[g]]), lme4 = as.numeric(cooks.distance(i)), without = mat(th),
       beta = as.numeric(fixef(m)), theta = as.numeric(getME(m, "theta")), sigma = sigma(m), vcov = mat(vcov(m, correlation = FALSE)))
}
ctl <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5), calc.derivs = FALSE)
gctl <- glmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5), tolPwrss = 1e-12)
m <- lmer(Reaction ~ Days + (Days | Subject), ss, control = ctl); res$sleep <- refits(m, "Subject")
m <- lmer(Reaction ~ Days + (1 | Subject), ss, REML = FALSE, control = ctl); res$sleep_ml <- refits(m, "Subject")
m <- glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), cb, binomial, nAGQ = 9, control = gctl); res$cbpp <- refits(m, "herd")
pe <- rd("lme4_Penicillin"); pe$plate <- factor(pe$plate)
m <- lmer(diameter ~ 1 + (1 | plate) + (1 | sample), pe, control = ctl)
res$penicillin <- refits(m, "sample")
res$penicillin_plate <- refits(m, "plate")
writeLines(toJSON(res, digits = 14, auto_unbox = TRUE, na = "null"), file.path(out, "influence.json"))

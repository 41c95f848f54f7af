# Data in the shape of situations that users of lme4 and glmmTMB reported, drawn here, with what these packages say of them.
# Rscript situations.R  ->  situations.json
#   ages      : lme4 issues 783 and 618: a large Hessian (an age in years, in thousandths of a year), the optimiser content, lme4 not
#   two       : lme4 issue 584: two clusters of 100 rows
#   years     : glmmTMB issue 591: (1 | id) + ar1(factor(year) - 1 | id), five years, effects of an id that do not change
#   papers    : glmmTMB issue 1226: a rare event, skewed predictors on many scales, a random slope by project
#   sleepstudy: ar1(0 + factor(Days) | Subject) beside a residual
suppressMessages({library(lme4); library(glmmTMB); library(jsonlite)})

said <- NULL
quiet <- function(expr) {
  said <<- NULL
  withCallingHandlers(expr, warning = function(w) { said <<- c(said, conditionMessage(w)); invokeRestart("muffleWarning") },
                      message = function(m) { said <<- c(said, conditionMessage(m)); invokeRestart("muffleMessage") })
}
out <- list()

set.seed(1)
n <- 1500
d <- data.frame(zip = sample(100, n, TRUE), age = round(rnorm(n, 62, 14)))
d$dead <- rbinom(n, 1, plogis(-7 + 0.1 * d$age + rnorm(100, 0, 0.8)[d$zip]))
d$age_small <- d$age * 1000
m <- quiet(glmer(dead ~ age + (1 | zip), d, family = binomial)); first <- said
m2 <- quiet(glmer(dead ~ age_small + (1 | zip), d, family = binomial)); second <- said
out$ages <- list(data = d, said_years = first, said_thousandths = second, llf = as.numeric(logLik(m)), params = fixef(m))

set.seed(3941)
g <- rep(1:2, each = 100)
r <- rep(rnorm(2), each = 100)
d <- data.frame(g = g, y = rnorm(200) + r)
m <- quiet(lmer(y ~ 1 + (1 | g), d))
out$two <- list(data = d, said = said, llf = as.numeric(logLik(m)))

set.seed(5)
d <- expand.grid(year = 2001:2005, id = 1:60)
d$y <- rnorm(60)[d$id] + rnorm(300)
m <- quiet(glmmTMB(y ~ 1 + (1 | id) + ar1(factor(year) - 1 | id), d))
out$years <- list(data = d, said = said, llf = as.numeric(logLik(m)))

set.seed(9)
n <- 3000
d <- data.frame(project = sample(200, n, TRUE), isai = rbinom(n, 1, 0.2))
d$log_nauths <- round(log(1 + rpois(n, 4)), 3); d$log_cost <- round(log(1e5 * rexp(n)), 2); d$pubs <- round(rexp(n, 1 / 200)); d$area <- round(1e6 * rexp(n))
u <- matrix(rnorm(400), 200)
d$top <- rbinom(n, 1, plogis(-4.2 + 0.4 * d$isai + 0.6 * d$log_nauths + 0.002 * d$pubs - 2e-7 * d$area + 0.7 * u[d$project, 1] + 0.8 * u[d$project, 2] * d$isai))
m <- quiet(glmmTMB(top ~ isai + log_nauths + log_cost + pubs + area + (isai | project), d, family = binomial))
out$papers <- list(data = d, said = said, llf = as.numeric(logLik(m)))

m <- quiet(glmmTMB(Reaction ~ Days + ar1(0 + factor(Days) | Subject), sleepstudy))
out$sleepstudy <- list(said = said, llf = as.numeric(logLik(m)))

out$versions <- list(lme4 = as.character(packageVersion("lme4")), glmmTMB = as.character(packageVersion("glmmTMB")))
write_json(out, "situations.json", digits = NA, auto_unbox = TRUE, dataframe = "columns", na = "null")

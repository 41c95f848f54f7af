# Type III Wald tests of GLM, mixed models and GEE, and geepack's QIC.
#
# How to run: install R with lme4, glmmTMB, geepack and jsonlite (Debian: r-base-core r-cran-lme4 r-cran-glmmtmb r-cran-geepack
#   r-cran-jsonlite), then, in this folder:   Rscript hypotheses.R data .
#
# Type III: factors in sum-to-zero coding (contr.sum), then for each term b' V^-1 b of its coefficients; a chi-squared statistic, and
# divided by its degrees of freedom an F statistic. "pair": the same model in treatment coding, two coefficients equal.
args <- commandArgs(TRUE); ddir <- args[1]; out <- args[2]
suppressMessages({library(lme4); library(glmmTMB); library(geepack); library(jsonlite)})
options(warn = 1)
ver <- paste(c(paste("R", getRversion()), sapply(c("lme4", "glmmTMB", "geepack"), function(p) paste(p, packageVersion(p)))), collapse = ", ")
rd <- function(n) read.csv(file.path(ddir, paste0(n, ".csv")), stringsAsFactors = TRUE)
res <- list(note = ver)
form <- function(b, V) sum(b * solve(V, b))
coefs <- function(m) if (inherits(m, "glmmTMB")) fixef(m)$cond else if (inherits(m, "merMod")) fixef(m) else coef(m)
cov_of <- function(m) if (inherits(m, "glmmTMB")) vcov(m)$cond else if (inherits(m, "geeglm")) m$geese$vbeta else as.matrix(vcov(m))
X_of <- function(m) if (inherits(m, "merMod") || inherits(m, "glmmTMB")) lme4::nobars(formula(m)) else formula(m)
terms_of <- function(m, data) {
  f <- X_of(m); labels <- c("Intercept", attr(terms(f), "term.labels")); at <- attr(model.matrix(f, data), "assign")
  b <- coefs(m); V <- cov_of(m)
  lapply(seq_along(labels), function(i) { J <- which(at == i - 1); list(term = labels[i], df = length(J), chi2 = form(b[J], V[J, J, drop = FALSE])) })
}
sum_sq <- function(l, b, V) sum(l * b)^2 / drop(l %*% V %*% l)
keep <- function(id, f, frame, pair, ...) { options(contrasts = c("contr.sum", "contr.poly")); s <- f(); t <- terms_of(s, frame)
  options(contrasts = c("contr.treatment", "contr.poly")); m <- f(); b <- coefs(m); V <- cov_of(m)
  l <- rep(0, length(b)); l[match(pair, names(b))] <- c(1, -1)
  res[[id]] <<- list(..., terms = t, pair_chi2 = sum_sq(l, b, V)); cat(id, "ok\n") }

ck <- rd("lme4_cake"); ck$temperature <- factor(ck$temperature); ck$replicate <- factor(ck$replicate)
keep("glm_cake", function() glm(angle ~ recipe * temperature, data = ck), ck, c("recipeB", "recipeC"), kind = "glm", family = "gaussian",
     formula = "angle ~ recipe * C(temperature)", data = "lme4_cake", equal = "recipe[T.B] = recipe[T.C]")
keep("lmm_cake", function() lmer(angle ~ recipe * temperature + (1 | recipe:replicate), ck, control = lmerControl(optCtrl = list(rhoend = 1e-10))),
     ck, c("recipeB", "recipeC"), kind = "glmm", family = "gaussian",
     formula = "angle ~ recipe * C(temperature) + (1 | recipe:replicate)", data = "lme4_cake", equal = "recipe[T.B] = recipe[T.C]")
co <- rd("mlmRev_Contraception"); co$y <- as.integer(co$use == "Y"); co$district <- factor(co$district)
tight <- glm.control(epsilon = 1e-15, maxit = 100)
keep("glm_contraception", function() glm(y ~ urban * livch + age + urban:age, binomial, co, control = tight), co, c("livch1", "livch2"), kind = "glm",
     family = "binomial", formula = "y ~ urban * livch + age + urban:age", data = "mlmRev_Contraception", equal = "livch[T.1] = livch[T.2]")
keep("glmm_contraception", function() glmmTMB(y ~ urban * livch + age + (1 | district), co, binomial), co, c("livch1", "livch2"), kind = "glmm",
     family = "binomial", formula = "y ~ urban * livch + age + (1 | district)", data = "mlmRev_Contraception", equal = "livch[T.1] = livch[T.2]")
rs <- rd("geepack_respiratory"); rs$cluster <- interaction(rs$center, rs$id, drop = TRUE); rs <- rs[order(rs$cluster, rs$visit), ]; rs$visit <- factor(rs$visit)
gc <- geese.control(epsilon = 1e-12, maxit = 200)
keep("gee_respiratory", function() geeglm(outcome ~ treat * visit + sex + age + treat:age, binomial, rs, id = as.integer(cluster), corstr = "exchangeable", control = gc),
     rs, c("visit2", "visit3"), kind = "gee", family = "binomial", formula = "outcome ~ treat * C(visit) + sex + age + treat:age",
     data = "geepack_respiratory", equal = "C(visit)[T.2] = C(visit)[T.3]")

qic <- function(id, f, ...) for (corstr in c("independence", "exchangeable", "ar1")) {
  m <- f(corstr); q <- QIC(m)
  res[[paste0("qic_", id, "_", corstr)]] <<- list(kind = "qic", corr = corstr, ..., values = as.list(q))
  cat(id, corstr, "ok\n")
}
oh <- rd("geepack_ohio"); oh <- oh[order(oh$id, oh$age), ]
qic("ohio", function(s) geeglm(resp ~ age * smoke, binomial, oh, id = id, corstr = s, control = gc),
    formula = "resp ~ age * smoke", family = "binomial", groups = "id", data = "geepack_ohio")
sz <- rd("seizure_long"); sz <- sz[order(sz$id, sz$visit), ]
qic("seizure", function(s) geeglm(y ~ trt * post, poisson, sz, id = id, corstr = s, control = gc),
    formula = "y ~ trt * post", family = "poisson", groups = "id", data = "seizure_long")
ss <- rd("lme4_sleepstudy")
qic("sleep", function(s) geeglm(Reaction ~ Days, gaussian, ss, id = Subject, corstr = s, control = gc),
    formula = "Reaction ~ Days", family = "gaussian", groups = "Subject", data = "lme4_sleepstudy")
qic("sleep_gamma", function(s) geeglm(Reaction ~ Days, Gamma("log"), ss, id = Subject, corstr = s, control = gc),
    formula = "Reaction ~ Days", family = "gamma", link = "log", groups = "Subject", data = "lme4_sleepstudy")
write(toJSON(res, digits = NA, auto_unbox = TRUE, pretty = TRUE), file.path(out, "hypotheses.json"))

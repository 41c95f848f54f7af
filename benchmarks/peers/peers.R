# The R peers: Rscript peers.R PEER ROWS.csv TASK.json, then one word a line on standard input: "fit" times one call, "read" prints
# the answer. The fit of each peer is one line in `fits`; lines for the runner begin with "@@ ".
arguments <- commandArgs(TRUE)
say <- function(...) { cat("@@ ", jsonlite::toJSON(list(...), auto_unbox = TRUE, digits = NA, na = "null", null = "null"), "\n", sep = ""); flush(stdout()) }
need <- function(package) if (!requireNamespace(package, quietly = TRUE)) { cat("@@ {\"missing\": \"R package ", package, "\"}\n", sep = ""); quit(status = 0) }
for (package in c("jsonlite", "data.table")) need(package)
peer <- arguments[1]
package <- if (peer == "glm") "stats" else peer
need(package)
suppressPackageStartupMessages(library(package, character.only = TRUE))
task <- jsonlite::fromJSON(arguments[3])
rows <- data.table::fread(arguments[2], data.table = FALSE, integer64 = "numeric", stringsAsFactors = TRUE, nThread = 2)
model <- as.formula(task$formula)
family <- if (task$family != "negative_binomial") get(task$family) else if (peer == "glmmTMB") nbinom2
if (task$kind == "gee") names(rows)[names(rows) == task$clusters] <- "cluster_id"

not_offered <- function(why) { say(not_offered = why); quit(status = 0) }
if (identical(task$points, "auto")) not_offered("the number of points must be given")
if (peer == "glmmTMB" && task$points != 1) not_offered("no quadrature")
if ((task$refit || task$bootstrap > 0) && peer != "lme4") not_offered("no refit that is less than a fit")

fits <- list(
  glm = function() { m <- glm(model, family, rows); list(coef(summary(m)), logLik(m)) },
  geepack = function() { m <- geeglm(model, family, rows, id = cluster_id, corstr = task$corr); list(coef(summary(m)), NULL) },
  gee = function() {
    # its own first fit is a glm; it prints what it starts from
    structure <- c(exchangeable = "exchangeable", ar1 = "AR-M", unstructured = "unstructured")[[task$corr]]
    invisible(capture.output(m <- gee(model, cluster_id, rows, family = family, corstr = structure, Mv = 1)))
    list(coef(summary(m))[, c("Estimate", "Robust S.E.")], NULL)
  },
  lme4 = function() {
    if (!is.null(first) && task$bootstrap > 0) {
      drawn <- bootMer(first, function(m) c(fixef(m), getME(m, "theta"), sigma(m)), nsim = task$bootstrap, seed = 1, use.u = FALSE)$t
      return(list(cbind(colMeans(drawn), apply(drawn, 2, sd))[seq_along(fixef(first)), ], NULL))
    }
    m <- if (!is.null(first)) refit(first, y)
         else if (task$kind == "lmm") lmer(model, rows, REML = task$reml)
         else if (is.null(family)) glmer.nb(model, rows)
         else glmer(model, rows, family, nAGQ = task$points)
    list(coef(summary(m)), logLik(m), m)
  },
  glmmTMB = function() { m <- glmmTMB(model, rows, family, REML = task$reml); list(summary(m)$coefficients$cond, logLik(m), m) }
)
# standard deviations of random intercepts in the order of the formula, then of the residuals of a linear model
deviations <- function(m) {
  if (length(task$random) == 0 || any(task$random[, 1] != "1")) return(numeric(0))
  varcorr <- if (peer == "glmmTMB") VarCorr(m)$cond else VarCorr(m)
  if (!all(task$random[, 2] %in% names(varcorr))) return(numeric(0))
  c(vapply(varcorr[task$random[, 2]], function(v) attr(v, "stddev")[[1]], 0), if (task$kind == "lmm") sigma(m))
}
read <- function(answer) {
  table <- answer[[1]]
  say(loglik = if (is.null(answer[[2]])) NULL else as.numeric(answer[[2]]), coef = I(unname(table[, 1])), se = I(unname(table[, 2])),
      sds = I(if (length(answer) == 3) unname(deviations(answer[[3]])) else numeric(0)),
      note = if (peer == "lme4" && length(answer) == 3) paste(answer[[3]]@optinfo$conv$lme4$messages, collapse = "; ") else "")
}

first <- NULL
if (task$refit || task$bootstrap > 0) { y <- rows[[task$response]]; first <- fits$lme4()[[3]] }
say(ready = as.character(packageVersion(package)), blas = extSoftVersion()[["BLAS"]])
words <- file("stdin", open = "r")
while (length(word <- readLines(words, 1)) == 1) {
  if (word == "read") { read(answer); break }
  invisible(gc(FALSE))
  time <- system.time(for (k in seq_len(task$calls)) answer <- suppressMessages(suppressWarnings(fits[[peer]]())), gcFirst = FALSE)
  say(wall = time[["elapsed"]] / task$calls, cpu = (time[["user.self"]] + time[["sys.self"]]) / task$calls)
}

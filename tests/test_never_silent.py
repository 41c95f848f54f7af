"""Nothing is caught, ignored or cut off without a reason: every except, errstate and ignored warning of the package stands here."""

import ast
from collections import Counter
from pathlib import Path

import glimm

ROOT = Path(glimm.__file__).parent
QUIET = ("errstate", "simplefilter", "filterwarnings", "suppress", "nan_to_num")

SAYS = "becomes an error of ours with its own words"
READS = "tells kinds of values apart; the other kind is read on"
NUMBERS = "numbers out of range are looked for afterwards, and said"
PICTURES = "a report says in its text that a picture or table is left out, and why"
ALLOWED = {
    ("advice/candidates.py", "candidates", "except GlimmError"): "a column that cannot be clusters is no candidate",
    ("cli.py", "main", "suppress"): "a stream that cannot be reconfigured stays as it is",
    ("cli.py", "main", "except SystemExit"): "argparse has spoken; its exit code is handed on",
    ("cli.py", "main", "except GlimmError"): "printed, exit code 1",
    ("cli.py", "main", "except KeyboardInterrupt"): "exit code of an interrupt",
    ("cli.py", "main", "except BrokenPipeError"): "the reader has gone",
    ("cli.py", "main", "except OSError"): "printed, exit code 1",
    ("cli.py", "abandon", "suppress"): "the stream is given up anyway",
    ("cli.py", "announced", "simplefilter"): "ours are always shown, those of other packages never: a line on the terminal is for the user",
    ("cli.py", "_number", "except ValueError"): READS,
    ("cli.py", "_write_report", "except OSError"): SAYS,
    ("covariance/by_wave.py", "_called", "except Exception"): SAYS,
    ("covariance/by_wave.py", "_floats", "except (TypeError, ValueError)"): SAYS,
    ("covariance/by_wave.py", "_square", "except (TypeError, ValueError)"): SAYS,
    ("covariance/correlated.py", "root", "errstate"): "a matrix without a factor is NaN, which the search turns back from",
    ("covariance/correlated.py", "droot", "errstate"): "the same",
    ("covariance/correlated.py", "factor", "except np.linalg.LinAlgError"): "a ridge at a limit, then NaN",
    ("covariance/odds_ratios.py", "_values", "except GlimmError"): "raised again as it is",
    ("covariance/odds_ratios.py", "_values", "except Exception"): SAYS,
    ("data/arithmetic.py", "evaluate", "errstate"): NUMBERS,
    ("data/delimited.py", "read_text", "except csv.Error"): SAYS,
    ("data/delimited.py", "decoded", "except UnicodeDecodeError"): SAYS,
    ("data/delimited.py", "parsed", "except (ValueError, TypeError, OverflowError)"): READS,
    ("data/delimited.py", "_parsed", "except pd.errors.ParserError"): SAYS,
    ("data/expressions.py", "replay", "except GlimmError"): SAYS,
    ("data/expressions.py", "_evaluate", "errstate"): NUMBERS,
    ("data/expressions.py", "_evaluate", "simplefilter"): "a warning of formulaic is made an error",
    ("data/expressions.py", "_evaluate", "except DataMismatchWarning"): SAYS,
    ("data/expressions.py", "_evaluate", "except Exception"): SAYS,
    ("data/expressions.py", "_columns", "except (TypeError, ValueError)"): SAYS,
    ("data/expressions.py", "_check_rowwise", "except GlimmError"): "an expression that few rows cannot have is not judged by few rows",
    ("data/factors.py", "_learn_coding", "except GlimmError"): SAYS,
    ("data/files.py", "_content", "except FileNotFoundError"): SAYS,
    ("data/files.py", "_content", "except IsADirectoryError"): SAYS,
    ("data/files.py", "_content", "except (OSError, ValueError)"): SAYS,
    ("data/files.py", "nearest", "except OSError"): "the error about the file has no suggestion then",
    ("data/files.py", "_unzipped", "except (EOFError, OSError, zlib.error)"): SAYS,
    ("data/files.py", "_read_arrow", "except ImportError"): SAYS,
    ("data/files.py", "_read_arrow", "except (pa.ArrowException, OSError)"): SAYS,
    ("data/formula.py", "parse_expression", "except SyntaxError"): SAYS,
    (
        "data/delimited_files.py",
        "is_text",
        "except (OSError, EOFError, zlib.error)",
    ): "the reader of parquet files says what is wrong",
    ("data/delimited_files.py", "parts", "except pd.errors.ParserError"): SAYS,
    ("data/delimited_files.py", "needed", "except OVERFLOW"): "as in parsed of delimited.py: read as float64; an error of ours comes again",
    ("data/delimited_files.py", "_encoding", "except UnicodeDecodeError"): SAYS,
    ("data/delimited_files.py", "_open", "except csv.Error"): SAYS,
    ("data/delimited_files.py", "_open", "except FileNotFoundError"): SAYS,
    ("data/delimited_files.py", "_open", "except (EOFError, zlib.error, gzip.BadGzipFile)"): SAYS,
    ("data/delimited_files.py", "_open", "except OSError"): SAYS,
    ("data/pieces.py", "_opened", "except GlimmError"): "the same error with the number of the piece",
    ("data/pieces.py", "frames", "except (pa.ArrowException, OSError)"): SAYS,
    ("data/sources.py", "open_source", "except ImportError"): SAYS,
    ("data/spool.py", "add", "except OSError"): SAYS,
    ("data/spool.py", "frames", "except (pa.ArrowException, OSError)"): SAYS,
    ("data/types.py", "as_table", "except (pa.ArrowException, TypeError, ValueError)"): SAYS,
    ("data/types.py", "as_table", "except GlimmError"): "the same error with the number of the piece",
    ("data/parquet.py", "frames", "except (pa.ArrowException, OSError)"): SAYS,
    ("data/parquet.py", "open_files", "except FileNotFoundError"): SAYS,
    ("data/parquet.py", "open_files", "except (pa.ArrowException, OSError)"): SAYS,
    ("data/readers.py", "_object_array", "except ValueError"): READS,
    ("data/readers.py", "_read_objects", "except OverflowError"): SAYS,
    ("data/terms.py", "parse_terms", "except Exception"): SAYS,
    ("data/terms.py", "_number", "except ValueError"): READS,
    ("demo.py", "draw", "except ImportError"): "says what to install for the picture",
    ("design/rank.py", "_clearly_full", "except np.linalg.LinAlgError"): "not clearly of full rank: decided by QR",
    ("design/response.py", "_literal", "except ValueError"): READS,
    ("covariance/moments.py", "_squares", "errstate"): "an overflow is infinite, and the largest residual raises",
    ("covariance/moments.py", "lag_products", "errstate"): "the same",
    ("diagnostics/correlation.py", "outside", "errstate"): "means of 0 or 1 have bounds of NaN, which nothing is beyond",
    ("design/seen.py", "placed", "except GlimmError"): "the same error with the row's number in the file",
    ("design/totals.py", "add", "errstate"): NUMBERS,
    ("estimators/constrained.py", "fit", "except GlimmError"): "another start is tried; where none does the error is raised",
    ("inference/anova.py", "of", "except GlimmError"): "NaN, and the note of the test says why",
    ("inference/profile.py", "hold", "except GlimmError"): "no fit there: the limit is sought nearer, or is NaN with a warning",
    ("inference/rao.py", "_tested", "except GlimmError"): "NaN, and the note of the test says why",
    ("inference/residuals.py", "anscombe", "errstate"): "a fitted mean without variance is infinite or NaN in the answer",
    ("diagnostics/clusters.py", "decomposed", "except GlimmError"): "a wider model that cannot be fitted gives no finding",
    ("diagnostics/clusters.py", "level_numbers", "except (TypeError, ValueError)"): READS,
    ("diagnostics/deletion.py", "_deletion", "errstate"): "no dfbetas where there is no standard error: NaN",
    ("diagnostics/left_out.py", "refits", "except GlimmError"): "NaN, and a warning names the units and says why",
    ("diagnostics/left_out.py", "refits", "except np.linalg.LinAlgError"): "the same",
    (
        "diagnostics/losses.py",
        "residuals",
        "except GlimmError",
    ): "where the fixed part alone cannot be fitted, its linear predictor is the mixed model's",
    ("diagnostics/lost_rows.py", "regress", "except (GlimmError, np.linalg.LinAlgError)"): "no tests where the regression has no fit",
    ("diagnostics/neighbours.py", "times", "except (TypeError, ValueError)"): SAYS,
    ("diagnostics/occasions.py", "_responses", "except GlimmError"): "responses of lost rows that cannot be read are not known: NaN",
    ("diagnostics/one_step_linear.py", "_one_by_one", "except GlimmError"): "NaN, and a warning names the units and says why",
    ("diagnostics/quantiles.py", "batches", "simplefilter"): "the warning of the first batch is not said again",
    (
        "diagnostics/residual_tests.py",
        "_about_own_effects",
        "nan_to_num",
    ): "rows whose means are moved inside their range, as the next line does",
    ("diagnostics/sight.py", "marginal", "except GlimmError"): "checks that need the marginal model are left out",
    ("diagnostics/variances.py", "cost_of", "except GlimmError"): "a finding without what the correlation costs",
    (
        "estimators/mixed_engines.py",
        "model_errors",
        "except np.linalg.LinAlgError",
    ): "a yardstick of when points are enough, no standard error",
    ("estimators/mixed_engines.py", "differences", "except np.linalg.LinAlgError"): "no curvature: NaN, which the solution says",
    ("estimators/refit.py", "new_response", "except (TypeError, ValueError)"): SAYS,
    ("estimators/refit.py", "new_response", "errstate"): NUMBERS,
    ("design/totals.py", "block_sum", "errstate"): "an infinite or missing sum is what the caller looks at",
    ("inference/likelihood_ratio.py", "_parts_nested", "except GlimmError"): "raised again with the part it is of",
    ("estimators/at_means.py", "at_means", "errstate"): "an infinite sum of means is a reason to look at each of them",
    ("estimators/irls.py", "row_unit", "errstate"): "a unit beyond the numbers is the largest or smallest one",
    ("family/own.py", "jets", "errstate"): NUMBERS,
    ("family/own.py", "variance", "errstate"): NUMBERS,
    ("family/own.py", "check", "errstate"): NUMBERS,
    ("family/resolve.py", "_called", "except ValueError"): SAYS,
    ("inference/criteria.py", "residuals", "errstate"): "a working residual is infinite where the mean has no slope",
    ("estimators/again.py", "fit_near", "except GlimmError"): "tried again from the usual start, then raised",
    ("inference/degrees_of_freedom.py", "of", "errstate"): "no degrees of freedom where there is no error: NaN",
    ("inference/degrees_of_freedom.py", "_some", "errstate"): "the same",
    (
        "inference/small_sample.py",
        "refits",
        "except (GlimmError, np.linalg.LinAlgError)",
    ): "a cluster without which there is no fit is named",
    ("inference/simulate.py", "drawn", "except ValueError"): SAYS,
    ("inference/simulate.py", "generator", "except (TypeError, ValueError)"): SAYS,
    ("interop/marginaleffects.py", "adapter", "except ImportError"): SAYS,
    (
        "estimators/levels.py",
        "log_likelihood",
        "errstate",
    ): "a level that is impossible has the log-likelihood -inf, which the search turns from",
    ("inference/hypotheses.py", "_of_matrix", "except (TypeError, ValueError)"): SAYS,
    ("inference/hypotheses.py", "_right", "except (TypeError, ValueError)"): SAYS,
    ("inference/quasi_information.py", "_normal_terms", "except np.linalg.LinAlgError"): "NaN, and the note of qic() says why",
    ("inference/quasi_information.py", "compared_qic", "except GlimmError"): "the column of that fit stays empty",
    ("inference/quasi_information.py", "independence_information", "errstate"): NUMBERS,
    ("inference/quasi_information.py", "quasi_likelihood", "errstate"): NUMBERS,
    ("inference/score_tests.py", "score_test", "except GlimmError"): "NaN, and the note of the test has the reason",
    ("inference/score_tests.py", "score_test", "except np.linalg.LinAlgError"): "the same",
    ("kernels/dense.py", "inverse_or_nan", "except np.linalg.LinAlgError"): "NaN, by its name",
    ("kernels/dense.py", "log_determinant", "except np.linalg.LinAlgError"): "NaN, which says that it is not positive definite",
    ("kernels/native.py", "native", "except ImportError"): "built for another processor family: the portable kernels",
    ("marginal/average.py", "_exp", "errstate"): "infinite means are refused in averages.py",
    ("marginal/average.py", "tails", "errstate"): "both sides of a mean are worked out, and one is taken",
    ("marginal/effects.py", "contrasted", "errstate"): "an interval without end is infinite",
    ("marginal/effects.py", "tested", "errstate"): "no statistic where there is no standard error",
    ("marginal/intervals.py", "spread_of_means", "nan_to_num"): "with weight 0; NaN where they are many",
    ("marginal/mixtures.py", "root", "errstate"): "a step without an end is replaced by bisection",
    ("marginal/predict.py", "predict", "nan_to_num"): "rows that are not complete, NaN in the answer",
    ("marginal/predict.py", "of_mean", "errstate"): "an infinite mean has an infinite standard error",
    ("marginal/predict.py", "of_average", "errstate"): "a derivative that does not exist leaves no standard error: NaN",
    ("marginal/resample.py", "_one", "except (GlimmError, np.linalg.LinAlgError)"): "a sample that cannot be fitted is counted and said",
    ("marginal/vector.py", "means_at", "nan_to_num"): "rows that are not complete, NaN in the answer",
    ("options.py", "_level", "except ValueError"): SAYS,
    ("output/effects.py", "once_each", "simplefilter"): "collects warnings and gives each once",
    ("output/losses.py", "_order", "except GlimmError"): "a fit whose rows cannot be read again does not set the order",
    ("output/reproduce.py", "versions", "except PackageNotFoundError"): "a package that is not installed has no version to print",
    ("output/side_by_side.py", "_integrated", "except GlimmError"): "the cell says why it is empty",
    ("plots/gallery.py", "of_fit", "except ImportError"): PICTURES,
    ("plots/gallery.py", "of_fit", "except GlimmError"): PICTURES,
    ("plots/gallery.py", "of_effect", "except ImportError"): PICTURES,
    ("plots/gallery.py", "averages", "except GlimmError"): PICTURES,
    ("plots/gallery.py", "of_comparison", "except ImportError"): PICTURES,
    ("plots/influence.py", "largest", "nan_to_num"): "a yardstick of which units to name; units without influence are not",
    ("plots/influence.py", "most_moved", "nan_to_num"): "the same",
    ("plots/picture.py", "require_matplotlib", "except ImportError"): SAYS,
}


def quiet_places(path):
    """(file, function, what) of everything in a file that could hide a failure."""
    out = []

    def walk(node, where):
        for child in ast.iter_child_nodes(node):
            inside = child.name if isinstance(child, ast.FunctionDef | ast.ClassDef) else where
            if isinstance(child, ast.ExceptHandler):
                out.append((path.relative_to(ROOT).as_posix(), inside, f"except {ast.unparse(child.type) if child.type else ''}"))
            if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute | ast.Name):
                name = child.func.attr if isinstance(child.func, ast.Attribute) else child.func.id
                if name in QUIET:
                    out.append((path.relative_to(ROOT).as_posix(), inside, name))
            walk(child, inside)

    walk(ast.parse(path.read_text(encoding="utf-8")), "")
    return out


def test_everything_that_is_caught_or_ignored_has_a_reason():
    found = Counter(place for path in sorted(ROOT.rglob("*.py")) for place in quiet_places(path))
    new = sorted(set(found) - set(ALLOWED))
    assert not new, f"give each a reason in ALLOWED, or let it speak: {new}"
    gone = sorted(set(ALLOWED) - set(found))
    assert not gone, f"no longer in the package: {gone}"


def test_the_page_says_it_for_files_that_exist():
    page = Path(__file__).parents[1] / "docs" / "explanation" / "never_silent.md"
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and "`" in line and "|---" not in line:
            for place in line.split("|")[2].split("`")[1::2]:
                assert not place.endswith((".py", ".cpp", ".hpp")) or any(
                    (root / place).exists() for root in (ROOT, page.parents[2], page.parents[2] / "native")
                ), place

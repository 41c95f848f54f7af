"""Small-sample covariances and degrees of freedom of GEE by brute force: every n_i x n_i matrix is built and inverted. No glimm.

Run (in this folder): python gee_small_sample.py          writes gee_small_sample.json (three minutes, mostly the full jackknife of ohio)
     python gee_small_sample.py --check                    recomputes and compares with the stored file and the published values below

Fits are those of gee_standard.py. D_i = d mu / d b, V_i = A^1/2 R A^1/2 without phi, H_ij = D_i M D_j' V_j^-1, r = y - mu, M^-1 = sum D'V^-1 D:
  Mancl and DeRouen (2001)       M sum D'V^-1 (I - H_ii)^-1 r r' ...
  Kauermann and Carroll (2001)   (I - H_ii)^-1/2, the principal root of a matrix that is not symmetric
  Fay and Graubard (2001)        diag{(1 - min(.75, (D_i'V_i^-1 D_i M)_jj))^-1/2} D'V^-1 r
  Morel, Bokossa and Neerchal (2003)   k M B M + delta max(1, tr(M B) / (p phi)) phi M
  K / (K - p);  jackknife: (K - p) / K sum (b_(-i) - b)(b_(-i) - b)', b_(-i) by one Fisher step, or by refits with alpha and phi anew
Degrees of freedom of a coefficient: K - p; Pan and Wall (2002); Fay and Graubard (2001) with Psi hat, and with Psi tilde, from the K x K
matrix W itself.
epil12 are subjects 23 to 34 of epil.
"""

import json
import sys
from pathlib import Path

import numpy as np
from gee_standard import FAMILIES, fit, read, working

HERE = Path(__file__).parent
BOUND = 0.75


def root_inverse(a):
    """The principal a^-1/2 of a matrix with positive eigenvalues."""
    w, q = np.linalg.eig(a)
    return np.real(q @ np.diag(w.astype(complex) ** -0.5) @ np.linalg.inv(q))


def covariances(y, X, group, wave, family, structure):
    """The fit, and standard errors, full matrices and degrees of freedom by name."""
    h, hprime, variance = FAMILIES[family]
    found = fit(y, X, group, wave, family, structure, tol=1e-12)
    b, phi, alpha = np.array(found["b"]), found["phi"], found["alpha"]
    clusters = [np.flatnonzero(group == g) for g in dict.fromkeys(group)]
    K, (N, p) = len(clusters), X.shape
    mu = h(X @ b)
    D, sd, r = X * hprime(X @ b)[:, None], np.sqrt(variance(mu)), y - mu
    inverses = [np.linalg.inv(sd[i][:, None] * working(structure, alpha, wave[i]) * sd[i]) for i in clusters]
    H = np.array([D[i].T @ v @ D[i] for i, v in zip(clusters, inverses, strict=True)])
    U = np.array([D[i].T @ v @ r[i] for i, v in zip(clusters, inverses, strict=True)])
    M = np.linalg.inv(H.sum(axis=0))
    md, kc, fg, leverages = np.zeros((K, p)), np.zeros((K, p)), np.zeros((K, p)), np.zeros(K)
    for k, (i, v) in enumerate(zip(clusters, inverses, strict=True)):
        hat = D[i] @ M @ D[i].T @ v
        leverages[k] = np.trace(hat)
        md[k] = D[i].T @ v @ np.linalg.solve(np.eye(len(i)) - hat, r[i])
        kc[k] = D[i].T @ v @ root_inverse(np.eye(len(i)) - hat) @ r[i]
        fg[k] = (1 - np.minimum(BOUND, np.diag(H[k] @ M))) ** -0.5 * U[k]
    B = U.T @ U
    robust = M @ B @ M
    factor, delta = (N - 1) / (N - p) * K / (K - 1), p / (K - p) if 3 * p < K else 0.5
    steps = np.array([np.linalg.solve(np.linalg.inv(M) - H[k], U[k]) for k in range(K)])
    out = {
        "robust": robust,
        "model": phi * M,
        "mancl_derouen": M @ md.T @ md @ M,
        "kauermann_carroll": M @ kc.T @ kc @ M,
        "fay_graubard": M @ fg.T @ fg @ M,
        "morel": factor * robust + delta * max(1, np.trace(M @ B) / (p * phi)) * phi * M,
        "df": K / (K - p) * robust,
        "jackknife": (K - p) / K * steps.T @ steps,
    }
    df = [degrees(U, H, M, c) for c in np.eye(p)]
    return found, out, df, leverages


def degrees(U, H, M, c):
    """K - p, Pan-Wall, Fay-Graubard with Psi hat and Psi tilde of the contrast c."""
    K, p = U.shape
    z = (U @ M @ c) ** 2
    pan_wall = 2 * z.sum() ** 2 / (K / (K - 1) * ((z - z.mean()) ** 2).sum())
    h = np.array([(1 - np.minimum(BOUND, np.diag(H[k] @ M))) ** -0.5 for k in range(K)])
    g, u = h * (M @ c), h * U
    shift = np.array([M @ H[k] @ g[k] for k in range(K)])
    weight = np.array([c @ (np.linalg.inv(np.linalg.inv(M) - H[k]) - M) @ c for k in range(K)])
    found = [float(K - p), float(pan_wall)]
    for psi in ([np.outer(u[k], u[k]) for k in range(K)], [weight[k] * u.T @ u for k in range(K)]):
        W = np.zeros((K, K))
        for k in range(K):
            a = -shift.copy()
            a[k] += g[k]
            W += a @ psi[k] @ a.T
        found.append(float(max(1.0, np.trace(W) ** 2 / (W**2).sum())))
    return found


def full_jackknife(y, X, group, wave, family, structure, b):
    """(K - p) / K sum of squared changes, everything estimated again."""
    names = list(dict.fromkeys(group))
    K, p = len(names), X.shape[1]
    changes = []
    for g in names:
        stay = group != g
        changes.append(np.array(fit(y[stay], X[stay], group[stay], wave[stay], family, structure, tol=1e-10)["b"]) - b)
    changes = np.array(changes)
    return (K - p) / K * changes.T @ changes


def cases():
    d = read("geepack_ohio")
    y, ident, age, smoke = (d[k].astype(float) for k in ("resp", "id", "age", "smoke"))
    yield "ohio", ["exchangeable"], (y, np.c_[np.ones(len(y)), age, smoke, age * smoke], ident, age, "binomial")
    d = read("MASS_epil")
    y, lbase, v4, subject, period = (d[k].astype(float) for k in ("y", "lbase", "V4", "subject", "period"))
    trt = (d["trt"] == "progabide").astype(float)
    every = ["independence", "exchangeable", "ar1"]
    yield "epil", every, (y, np.c_[np.ones(len(y)), lbase, trt, lbase * trt, v4], subject, period, "poisson")
    X, some = np.c_[np.ones(len(y)), lbase, trt, v4], (subject >= 23) & (subject <= 34)
    yield "epil12", every, (y[some], X[some], subject[some], period[some], "poisson")


def compute():
    out = {}
    for name, refitted, data in cases():
        for structure in ("independence", "exchangeable", "ar1"):
            found, covs, df, leverages = covariances(*data, structure)
            if structure in refitted:
                covs["full_jackknife"] = full_jackknife(*data, structure, np.array(found["b"]))
            out[f"{name}_{structure}"] = {
                "b": found["b"],
                "phi": found["phi"],
                "alpha": found["alpha"],
                "clusters": found["clusters"],
                "vcov": {kind: v.tolist() for kind, v in covs.items()},
                "df_columns": ["k_minus_p", "pan_wall", "fay_graubard_hat", "fay_graubard"],
                "df": df,
                "leverages": leverages.tolist(),
                "note": f"gee_small_sample.py, dense brute force, NumPy {np.__version__}",
            }
            print(f"{name}_{structure}", flush=True)
    return out


# an earlier, separate calculation (10 digits): coefficients, dispersion, standard errors, degrees of freedom of a coefficient
PUBLISHED = {
    "ohio_independence": {
        "b": "-1.900842568 -0.1412531295 0.3139539917 0.07084410384",
        "phi": "1.001481333",
        "robust": "0.1190767885 0.05821417988 0.1878385265 0.0882946856",
        "model": "0.08880736222 0.06956490966 0.139542245 0.110805249",
        "mancl_derouen": "0.1194179827 0.05838098269 0.1886590049 0.08867307958",
        "kauermann_carroll": "0.1192472636 0.05829752163 0.188248248 0.08848364633",
        "fay_graubard": "0.1192475522 0.05829763915 0.188451261 0.08857114018",
        "morel": "0.1196072335 0.05873007727 0.1886711505 0.08914257159",
        "df": "0.1195227705 0.05843221128 0.188542044 0.08862537846",
        "jackknife": "0.1189723917 0.05816314244 0.1879550509 0.08834220872",
        "df2": "533 191.6802918 81.14930005 420.9933149",
    },
    "ohio_exchangeable": {
        "b": "-1.900495513 -0.1412359262 0.3138259116 0.07083185047",
        "phi": "1.001272557",
        "robust": "0.1190869713 0.05820089801 0.1878418115 0.08827886762",
        "model": "0.118710934 0.05608032754 0.1871972613 0.08917754822",
        "mancl_derouen": "0.1194281947 0.05836766276 0.1886622786 0.08865720325",
        "kauermann_carroll": "0.119257461 0.05828422074 0.1882515274 0.08846779921",
        "fay_graubard": "0.1192577493 0.05828433787 0.1884541379 0.08855548356",
        "morel": "0.1197238665 0.05849799205 0.1888460356 0.08875981612",
        "df": "0.1195329915 0.05841887966 0.1885453414 0.08860950124",
        "jackknife": "0.1189825656 0.05814987221 0.1879583124 0.08832639164",
        "full_jackknife": "0.1195716616 0.05842126703 0.1889828029 0.08885118382",
        "df2": "533 191.8145787 81.1953883 418.9189924",
    },
    "ohio_ar1": {
        "b": "-1.919508407 -0.1468125528 0.2952752473 0.08147199382",
        "phi": "1.01847341",
        "robust": "0.1200133986 0.0593430938 0.1899723258 0.09065840714",
        "model": "0.1148810826 0.07170651999 0.1811172154 0.1146210218",
        "mancl_derouen": "0.1203572765 0.05951313132 0.1908034467 0.0910483479",
        "kauermann_carroll": "0.1201852146 0.05942805174 0.1903873614 0.09085313355",
        "fay_graubard": "0.1201855038 0.05942817118 0.1905917242 0.09094274458",
        "morel": "0.1206205756 0.05976368086 0.1909282273 0.0913476817",
        "df": "0.1204628886 0.05956535335 0.1906838351 0.09099795293",
        "jackknife": "0.1199081807 0.05929106662 0.190091491 0.09070861408",
        "df2": "533 180.4005469 77.06358343 419.0490834",
    },
    "epil_independence": {
        "b": "1.939198349 0.9555088073 -0.3794030511 0.414317261 -0.1597696006",
        "phi": "4.611978468",
        "robust": "0.1105214995 0.1017705446 0.1811502471 0.188222965 0.06514075375",
        "model": "0.08994733474 0.09342425487 0.1309114328 0.1295707154 0.1172213413",
        "mancl_derouen": "0.1176659919 0.1138979394 0.2168912981 0.4584155874 0.06705401157",
        "kauermann_carroll": "0.1140273602 0.1074955287 0.1921485724 0.2748379872 0.06608218265",
        "fay_graubard": "0.1772785789 0.2619770148 0.3913726838 0.6046959015 0.06592474087",
        "morel": "0.1193514304 0.1115735354 0.1932793331 0.1999779881 0.08435301039",
        "df": "0.115524978 0.1063778539 0.1893511978 0.1967441085 0.068089776",
        "jackknife": "0.1125697844 0.1089649292 0.2074975638 0.4385612445 0.06414984911",
        "full_jackknife": "0.11537053 0.1110438694 0.1986484426 0.4468668216 0.06462288089",
        "df0": "54 10.2242046 1.661433777 2.730012512",
        "df1": "54 10.4679703 1.231649897 1.922070943",
        "df2": "54 24.51378033 1.34998427 2.177640556",
        "df3": "54 9.558890027 1.124701041 1.627183538",
        "df4": "54 26.31223483 10.68370773 25.02356526",
    },
    "epil_exchangeable": {
        "b": "1.936414831 0.9565195228 -0.3747566316 0.4136896713 -0.1597696006",
        "phi": "4.613030783",
        "robust": "0.1128965661 0.1042646014 0.1835494274 0.1896702254 0.06514075375",
        "model": "0.1278688768 0.1374331404 0.1923506613 0.1903874086 0.09184496278",
        "mancl_derouen": "0.1202344319 0.1161598013 0.2192130837 0.4593019329 0.06705222493",
        "kauermann_carroll": "0.11649779 0.1098906715 0.1945639581 0.2759303201 0.06608126389",
        "fay_graubard": "0.1795045392 0.2640661448 0.3934737902 0.6065326984 0.06603238883",
        "morel": "0.121773596 0.1146441662 0.1964009499 0.2021436156 0.07236551606",
        "df": "0.1180075675 0.1089848205 0.1918589926 0.1982568886 0.068089776",
        "jackknife": "0.1150269832 0.1111288281 0.2097187911 0.4394092016 0.06414813984",
        "full_jackknife": "0.1173203556 0.1132990105 0.2005989515 0.4476347434 0.06462288089",
        "df0": "54 10.01339747 1.680028666 2.749634028",
        "df1": "54 10.03747287 1.238427725 1.928585788",
        "df2": "54 24.40849119 1.357427343 2.183809274",
        "df3": "54 9.731734669 1.126998736 1.628028832",
        "df4": "54 26.31223483 10.7258168 24.55594895",
    },
    "epil_ar1": {
        "b": "1.953411129 0.9508890677 -0.426606513 0.4577268978 -0.1519915373",
        "phi": "4.638774713",
        "robust": "0.110639271 0.09985250041 0.1761698306 0.1874715051 0.0900418711",
        "model": "0.1235709315 0.1310419766 0.1860003586 0.1825393639 0.09653463152",
        "mancl_derouen": "0.1175729775 0.1133488521 0.2183724884 0.4823306012 0.09269351527",
        "kauermann_carroll": "0.1140413725 0.1061682938 0.1885272198 0.2813227018 0.09135421233",
        "fay_graubard": "0.1793373563 0.2672731866 0.4056875186 0.622365943 0.09135321379",
        "morel": "0.1197587355 0.1104584925 0.1895027426 0.2000610563 0.09701555611",
        "df": "0.1156480812 0.1043729769 0.1841453101 0.1959586288 0.09411820528",
        "jackknife": "0.1124807985 0.1084396233 0.2089146026 0.46144048 0.08867888554",
        "full_jackknife": "0.1138043511 0.1092965023 0.1944935359 0.4701827077 0.09128181037",
        "df0": "54 10.31490042 1.659019674 2.610750798",
        "df1": "54 10.98831369 1.219667365 1.868169071",
        "df2": "54 25.1155434 1.310895451 2.081065944",
        "df3": "54 8.843974522 1.116757936 1.605220555",
        "df4": "54 8.825463145 4.13385363 23.93887695",
    },
    "epil12_independence": {
        "b": "2.13724921 1.295290858 -0.9066199126 -0.2876820725",
        "phi": "4.222600132",
        "robust": "0.1879409015 0.2328052983 0.3004481125 0.0916515139",
        "model": "0.1648317268 0.1892747457 0.2291561988 0.2652860133",
        "mancl_derouen": "0.3183248826 0.4271491674 0.5988313817 0.1107591068",
        "kauermann_carroll": "0.2407747729 0.307703062 0.4156469407 0.1004411672",
        "fay_graubard": "0.2212100468 0.2695293958 0.3640904234 0.1009323875",
        "morel": "0.2438077187 0.2954030745 0.3748663835 0.2390486459",
        "df": "0.2301796552 0.2851270951 0.3679722849 0.1122497216",
        "jackknife": "0.2599111783 0.3487658347 0.4889437757 0.09043443199",
        "df0": "8 10.56519104 3.346549964 5.860913393",
        "df1": "8 10.02027531 3.458068134 4.120282895",
        "df2": "8 8.868934909 2.919715758 2.554553688",
        "df3": "8 10.77202073 4.027493925 5.042851547",
    },
    "epil12_exchangeable": {
        "b": "2.134745358 1.298658524 -0.9042050177 -0.2876820725",
        "phi": "4.224698608",
        "robust": "0.1883194849 0.2340949509 0.302492318 0.0916515139",
        "model": "0.1960044629 0.2315968668 0.2800062952 0.2426767039",
        "mancl_derouen": "0.3197135035 0.4308150683 0.6045381855 0.1107609754",
        "kauermann_carroll": "0.2414958905 0.309848823 0.4190378189 0.1004413966",
        "fay_graubard": "0.221639196 0.271319546 0.3669183218 0.1006000603",
        "morel": "0.2460385316 0.3011260954 0.3818737971 0.198076806",
        "df": "0.2306433233 0.2867065905 0.3704759151 0.1122497216",
        "jackknife": "0.2610449825 0.3517590303 0.4936033615 0.09043595772",
    },
    "epil12_ar1": {
        "b": "2.144794215 1.287755734 -0.9052301988 -0.387704412",
        "phi": "4.250088369",
        "robust": "0.198032644 0.2252110429 0.2904043088 0.1905166636",
        "model": "0.1998755192 0.2343276845 0.2843100287 0.2570634537",
        "mancl_derouen": "0.3293351955 0.4113183108 0.5759536569 0.2440268425",
        "kauermann_carroll": "0.2518280562 0.2970029807 0.4007514539 0.2152135427",
        "fay_graubard": "0.2306149869 0.2602486614 0.3515187875 0.2141366329",
        "morel": "0.256269734 0.2942077821 0.3724115632 0.2744755847",
        "df": "0.2425394651 0.2758260698 0.3556711878 0.2333343067",
        "jackknife": "0.2689010611 0.3358399945 0.4702641916 0.1992470826",
        "df0": "8 8.250523914 3.01469299 5.900371684",
        "df1": "8 10.12223137 3.479759125 4.142493597",
        "df2": "8 9.107529027 2.975967223 2.574912462",
        "df3": "8 4.217034633 1.895584328 4.979210919",
    },
}


def check(out):
    worst = 0.0
    for name, published in PUBLISHED.items():
        got = out[name]
        for kind, text in published.items():
            want = np.array([float(number) for number in text.split()])
            if kind.startswith("df") and kind != "df":
                mine = np.array(got["df"][int(kind[2:])])
            elif kind in ("b", "phi"):
                mine = np.atleast_1d(got[kind])
            elif kind in got["vcov"]:
                mine = np.sqrt(np.diag(got["vcov"][kind]))
            else:
                continue
            # refits stop at 1e-10
            tolerance = 1e-7 if kind == "full_jackknife" else 2e-9
            apart = float(np.max(np.abs(mine / want - 1)))
            assert apart < tolerance, (name, kind, mine, want)
            worst = max(worst, apart)
    print("largest relative difference from the published values:", worst)


if __name__ == "__main__":
    result = compute()
    check(result)
    path = HERE / "gee_small_sample.json"
    if "--check" in sys.argv:
        stored = json.loads(path.read_text())
        for name, entry in result.items():
            for kind, v in entry["vcov"].items():
                assert np.allclose(v, stored[name]["vcov"][kind], rtol=1e-7, atol=1e-12), (name, kind)
            assert np.allclose(entry["df"], stored[name]["df"], rtol=1e-7), name
        assert set(stored) == set(result)
    else:
        path.write_text(json.dumps(result, indent=1) + "\n")

# Screening: elements on templates, energies of all candidates, of the best by the judge, the shortlist.


rule infill:
    """Every distinct assignment of all the elements to the sites of one shard of the templates that keeps atoms apart."""
    input:
        templates="results/templates.parquet",
    output:
        candidates="results/candidates/{shard}.parquet",
        counts="results/candidates/{shard}.json",
    log:
        "results/logs/infill/{shard}.log",
    benchmark:
        "results/benchmarks/infill/{shard}.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=digest("infill"),
        options=block("infill", "shards"),
        shards=config["infill"]["shards"],
        chemistry=config["chemistry"],
        seed=config["seed"],
    message:
        "Filling templates with {params.chemistry}, shard {wildcards.shard}"
    script:
        "../scripts/infill.py"


rule screen:
    """Energies of one shard of candidates: energy, formation energy, distance to the hull."""
    input:
        candidates="results/candidates/{shard}.parquet",
        templates="results/templates.parquet",
        potential="results/screening_potential.json" if CASCADE else "results/potential.json",
        known_phases="results/known_phases.parquet",
    output:
        screened="results/screened/{shard}.parquet",
    log:
        "results/logs/screen/{shard}.log",
    benchmark:
        "results/benchmarks/screen/{shard}.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        code=digest("screen"),
        options=block("screen", "rank_by", "top", "per_formula", "per_template") | part("infill", "min_distance_ratio"),
        potential=options_of("screening_potential" if CASCADE else "potential"),
        judge=not CASCADE,
    message:
        "Screening candidates, shard {wildcards.shard}"
    script:
        "../scripts/screen.py"


rule promote:
    """The candidates that the judge evaluates: the best by the screening potential, and a random sample."""
    input:
        screened=expand("results/screened/{shard}.parquet", shard=shards("infill")),
        candidates=expand("results/candidates/{shard}.parquet", shard=shards("infill")),
    output:
        promoted=expand("results/promoted/{shard}.parquet", shard=shards("cascade")),
        counts="results/promoted.json",
    log:
        "results/logs/promote.log",
    benchmark:
        "results/benchmarks/promote.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=digest("promote"),
        options=block("cascade", "shards", "refine_below"),
        rank_by=config["screen"]["rank_by"],
        seed=config["seed"],
    message:
        "Choosing the candidates that the judge evaluates"
    script:
        "../scripts/promote.py"


rule evaluate:
    """Energies of one shard of the promoted candidates by the judge."""
    input:
        candidates="results/promoted/{shard}.parquet",
        templates="results/templates.parquet",
        potential="results/potential.json",
        known_phases="results/known_phases.parquet",
    output:
        screened="results/evaluated/{shard}.parquet",
    log:
        "results/logs/evaluate/{shard}.log",
    benchmark:
        "results/benchmarks/evaluate/{shard}.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        code=digest("screen"),
        options=block("screen", "rank_by", "top", "per_formula", "per_template", "refine_below")
        | part("infill", "min_distance_ratio")
        | {"refine_below": config["cascade"]["refine_below"]},
        potential=options_of("potential"),
        judge=True,
    message:
        "Evaluating promoted candidates with the judge, shard {wildcards.shard}"
    script:
        "../scripts/screen.py"


rule rank:
    """The shortlist: best first, each crystal once, the known phases named and set aside."""
    input:
        screened=promoted("results/evaluated/{shard}.parquet")
        or expand("results/screened/{shard}.parquet", shard=shards("infill")),
        candidates=promoted("results/promoted/{shard}.parquet")
        or expand("results/candidates/{shard}.parquet", shard=shards("infill")),
        templates="results/templates.parquet",
        structures="results/data/structures.parquet",
        known_phases="results/known_phases.parquet",
    output:
        ranked="results/ranked.parquet",
        refused="results/ranking_refused.parquet",
        counts="results/ranking_counts.json",
    log:
        "results/logs/rank.log",
    benchmark:
        "results/benchmarks/rank.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        code=digest("rank"),
        options=block("screen", "batch_size", "refine_below"),
        chemistry=config["chemistry"],
        cascade=CASCADE,
    message:
        "Ranking candidates"
    script:
        "../scripts/rank.py"

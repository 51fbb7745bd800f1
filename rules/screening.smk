# Screening: the potential and its proof, the known phases, energies of all candidates, the shortlist.


rule verify_potential:
    """Choose the potential and prove it on known crystals before anything is computed with it."""
    output:
        potential="results/potential.json",
    log:
        "results/logs/verify_potential.log",
    benchmark:
        "results/benchmarks/verify_potential.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=digest("verify_potential"),
        options=config["potential"],
        folder=POTENTIAL_FOLDER,
    message:
        "Verifying the potential on known crystals"
    script:
        "../scripts/verify_potential.py"


rule known_phases:
    """The database's phases of the chemical system, relaxed with the same potential: the hull."""
    input:
        structures="results/data/structures.parquet",
        potential="results/potential.json",
    output:
        known_phases="results/known_phases.parquet",
    log:
        "results/logs/known_phases.log",
    benchmark:
        "results/benchmarks/known_phases.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        code=digest("known_phases"),
        options=config["hull"],
        potential=config["potential"],
        folder=POTENTIAL_FOLDER,
        chemistry=config["chemistry"],
    message:
        "Relaxing the known phases of {params.chemistry}"
    script:
        "../scripts/known_phases.py"


rule screen:
    """Energies of one shard of candidates: energy, formation energy, distance to the hull."""
    input:
        candidates="results/candidates/{shard}.parquet",
        templates="results/templates.parquet",
        potential="results/potential.json",
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
        mem_mb=4000,
        runtime=120,
    params:
        code=digest("screen"),
        options=block("screen", "rank_by", "top", "per_formula", "per_template"),
        potential=config["potential"],
        folder=POTENTIAL_FOLDER,
    message:
        "Screening candidates, shard {wildcards.shard}"
    script:
        "../scripts/screen.py"


rule rank:
    """The shortlist: best first, each crystal once, the known phases named and set aside."""
    input:
        screened=expand("results/screened/{shard}.parquet", shard=shards("infill")),
        candidates=expand("results/candidates/{shard}.parquet", shard=shards("infill")),
        templates="results/templates.parquet",
        structures="results/data/structures.parquet",
        known_phases="results/known_phases.parquet",
    output:
        ranked="results/ranked.parquet",
        refused="results/rank_refused.parquet",
        counts="results/ranking_counts.json",
    log:
        "results/logs/rank.log",
    benchmark:
        "results/benchmarks/rank.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        code=digest("rank"),
        options=block("screen", "batch_size", "min_separation", "refine_below"),
        chemistry=config["chemistry"],
    message:
        "Ranking candidates"
    script:
        "../scripts/rank.py"

# Relaxation of the shortlist, and dedupe and novelty again on what came of it.


rule relax:
    """Relax one shard of the shortlist with the potential."""
    input:
        ranked="results/ranked.parquet",
        templates="results/templates.parquet",
        potential="results/potential.json",
        known_phases="results/known_phases.parquet",
    output:
        relaxed="results/relaxed/{shard}.parquet",
    log:
        "results/logs/relax/{shard}.log",
    benchmark:
        "results/benchmarks/relax/{shard}.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        code=digest("relax"),
        options=block("relax", "shards"),
        potential=config["potential"],
        folder=POTENTIAL_FOLDER,
        shards=config["relax"]["shards"],
    message:
        "Relaxing the shortlist, shard {wildcards.shard}"
    script:
        "../scripts/relax.py"


rule unique:
    """Which relaxed crystals are distinct, what of them is new, and which get phonons."""
    input:
        relaxed=expand("results/relaxed/{shard}.parquet", shard=shards("relax")),
        structures="results/data/structures.parquet",
        asu="results/data/asu.parquet",
        known_phases="results/known_phases.parquet",
    output:
        unique="results/unique.parquet",
    log:
        "results/logs/unique.log",
    benchmark:
        "results/benchmarks/unique.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        code=digest("unique"),
        chemistry=config["chemistry"],
        phonons=config["phonons"]["top"],
        symprec=config["asu"]["symprec"],
        potential=config["potential"],
        second=config["second_potential"],
        folder=POTENTIAL_FOLDER,
    message:
        "Comparing the relaxed crystals with each other and with the database"
    script:
        "../scripts/unique.py"

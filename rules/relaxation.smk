# Relaxation: the potentials and their proof, the known phases, the shortlist, what of it is new.


rule verify_potential:
    """Prove a potential on known crystals before anything is computed with it."""
    output:
        potential="results/{role}.json",
    log:
        "results/logs/verify_potential/{role}.log",
    benchmark:
        "results/benchmarks/verify_potential/{role}.tsv"
    # all potentials first, also one that is needed last
    priority: 100
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=digest("verify_potential"),
        potential=lambda wildcards: options_of(wildcards.role),
        stamp=lambda wildcards: weights_of(wildcards.role),
        why=lambda wildcards: POTENTIALS[wildcards.role].why,
        tolerance=config["potential"]["tolerance"],
    message:
        "Verifying the {wildcards.role} on known crystals"
    script:
        "../scripts/verify_potential.py"


rule relax_known_phases:
    """Relax one shard of the database's phases of the chemical system with the judge."""
    input:
        structures="results/data/structures.parquet",
        potential="results/potential.json",
    output:
        relaxed="results/known_phases/{shard}.parquet",
    log:
        "results/logs/relax_known_phases/{shard}.log",
    benchmark:
        "results/benchmarks/relax_known_phases/{shard}.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(240),
    params:
        code=digest("relax_known_phases"),
        options=block("hull", "shards"),
        potential=options_of("potential"),
        chemistry=config["chemistry"],
        shards=config["hull"]["shards"],
    message:
        "Relaxing the known phases of {params.chemistry}, shard {wildcards.shard}"
    script:
        "../scripts/relax_known_phases.py"


rule known_phases:
    """The relaxed known phases and the elements: the hull that candidates are measured against."""
    input:
        relaxed=expand("results/known_phases/{shard}.parquet", shard=shards("hull")),
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
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=digest("known_phases"),
        chemistry=config["chemistry"],
    message:
        "Placing the known phases of {params.chemistry} on their hull"
    script:
        "../scripts/known_phases.py"


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
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        code=digest("relax"),
        options=block("relax", "shards"),
        potential=options_of("potential"),
        shards=config["relax"]["shards"],
    message:
        "Relaxing the shortlist, shard {wildcards.shard}"
    script:
        "../scripts/relax.py"


rule compare:
    """Which relaxed crystals are distinct, what of them is new, and which get phonons."""
    input:
        relaxed=expand("results/relaxed/{shard}.parquet", shard=shards("relax")),
        structures="results/data/structures.parquet",
        asu="results/data/asu.parquet",
        known_phases="results/known_phases.parquet",
        second_potential=report_of("second_potential"),
    output:
        compared="results/compared.parquet",
    log:
        "results/logs/compare.log",
    benchmark:
        "results/benchmarks/compare.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        code=digest("compare"),
        chemistry=config["chemistry"],
        phonons=config["phonons"]["top"],
        symprec=config["asu"]["symprec"],
        second=options_of("second_potential"),
    message:
        "Comparing the relaxed crystals with each other and with the database"
    script:
        "../scripts/compare.py"


rule relax_beside_random:
    """Relax one shard of filled templates beside random crystals, and of the known phases of their systems."""
    input:
        templates="results/templates.parquet",
        structures="results/data/structures.parquet",
        potential="results/potential.json",
    output:
        relaxed="results/convergence/{shard}.parquet",
    log:
        "results/logs/relax_beside_random/{shard}.log",
    benchmark:
        "results/benchmarks/relax_beside_random/{shard}.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        code=digest("relax_beside_random"),
        options=block("convergence", "shards"),
        hull=block("hull", "shards"),
        potential=options_of("potential"),
        shards=config["convergence"]["shards"],
        seed=config["seed"],
    message:
        "Relaxing filled templates beside random crystals, shard {wildcards.shard}"
    script:
        "../scripts/relax_beside_random.py"

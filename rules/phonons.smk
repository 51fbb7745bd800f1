# Phonons of the best novel crystals, and the verdicts of both judges.


rule phonons:
    """Phonons of one shard of the novel, distinct crystals."""
    input:
        compared="results/compared.parquet",
        potential="results/potential.json",
    output:
        phonons="results/phonons/{shard}.parquet",
    log:
        "results/logs/phonons/{shard}.log",
    benchmark:
        "results/benchmarks/phonons/{shard}.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(240),
    params:
        code=digest("phonons"),
        options=block("phonons", "top", "shards"),
        potential=options_of("potential"),
        shards=config["phonons"]["shards"],
    message:
        "Phonons, shard {wildcards.shard}"
    script:
        "../scripts/phonons.py"


rule second_phonons:
    """What the second potential says of the same crystals: distance to its hull, phonons, elasticity."""
    input:
        phonons="results/phonons/{shard}.parquet",
        known_phases="results/known_phases.parquet",
        potential="results/second_potential.json",
    output:
        phonons="results/second_phonons/{shard}.parquet",
    log:
        "results/logs/second_phonons/{shard}.log",
    benchmark:
        "results/benchmarks/second_phonons/{shard}.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(3000),
        runtime=growing(240),
    params:
        code=digest("second_phonons"),
        options=block("phonons", "top", "shards", "follow_modes", "generations"),
        potential=options_of("second_potential"),
    message:
        "Phonons by the second potential, shard {wildcards.shard}"
    script:
        "../scripts/second_phonons.py"

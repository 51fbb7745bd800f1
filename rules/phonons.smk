# Phonons of the best novel crystals, and the verdict.


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
        mem_mb=4000,
        runtime=480,
    params:
        code=digest("phonons"),
        options=block("phonons", "top", "shards"),
        potential=block("potential", "tolerance"),
        folder=POTENTIAL_FOLDER,
        shards=config["phonons"]["shards"],
    message:
        "Phonons, shard {wildcards.shard}"
    script:
        "../scripts/phonons.py"

# Phonons, the verdict, and the store of what is stable.


rule phonons:
    """Phonons of one shard of the novel, distinct crystals."""
    input:
        unique="results/unique.parquet",
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
        potential=config["potential"],
        folder=POTENTIAL_FOLDER,
        shards=config["phonons"]["shards"],
    message:
        "Phonons, shard {wildcards.shard}"
    script:
        "../scripts/phonons.py"


rule store:
    """The phonon-stable crystals as a table, an ASE database and CIF files."""
    input:
        unique="results/unique.parquet",
        phonons=expand("results/phonons/{shard}.parquet", shard=shards("phonons")),
    output:
        table="results/stable.parquet",
        database="results/stable.db",
        cifs=directory("results/cif"),
    log:
        "results/logs/store.log",
    benchmark:
        "results/benchmarks/store.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=digest("store"),
    message:
        "Storing the survivors"
    script:
        "../scripts/store.py"

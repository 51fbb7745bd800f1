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
    """What passes and is novel and distinct: table, ASE database, CIF and phonopy files, likeness in diffraction."""
    input:
        unique="results/unique.parquet",
        phonons=expand("results/phonons/{shard}.parquet", shard=shards("phonons")),
        structures="results/data/structures.parquet",
        known_phases="results/known_phases.parquet",
    output:
        table="results/stable.parquet",
        refused="results/stable_refused.parquet",
        database="results/stable.db",
        cifs=directory("results/cif"),
        phonopy=directory("results/phonopy"),
        similarity="results/xrd_similarity.csv",
    log:
        "results/logs/store.log",
    benchmark:
        "results/benchmarks/store.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        code=digest("store"),
        chemistry=config["chemistry"],
    message:
        "Storing the survivors"
    script:
        "../scripts/store.py"

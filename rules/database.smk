# A database to the set of templates that the generator learns from.


rule read_database:
    """Read every record of the database: kept, or refused with a reason."""
    input:
        database=config["data"]["path"] or [],
    output:
        structures="results/data/structures.parquet",
        refused="results/data/refused/read.parquet",
    log:
        "results/logs/read_database.log",
    benchmark:
        "results/benchmarks/read_database.tsv"
    # a download: nodes of a cluster may have no network
    localrule: config["data"]["source"] == "mp"
    conda:
        "../envs/default.yaml"
    threads: 2
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        code=digest("read_database"),
        options=config["data"],
        stamp=stamp(config["data"]["path"]),
    message:
        "Reading the database ({params.options[source]})"
    script:
        "../scripts/read_database.py"


rule asymmetric_units:
    """Space group, cell and Wyckoff sites of every structure, in the standard setting."""
    input:
        structures="results/data/structures.parquet",
    output:
        asu="results/data/asu.parquet",
        refused="results/data/refused/asu.parquet",
    log:
        "results/logs/asymmetric_units.log",
    benchmark:
        "results/benchmarks/asymmetric_units.tsv"
    conda:
        "../envs/default.yaml"
    threads: 2
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        code=digest("asymmetric_units"),
        options=config["asu"],
    message:
        "Finding asymmetric units"
    script:
        "../scripts/asymmetric_units.py"


rule training_set:
    """Choose the structures to learn from, split them by template, and gather all that was refused."""
    input:
        asu="results/data/asu.parquet",
        refused=["results/data/refused/read.parquet", "results/data/refused/asu.parquet"],
    output:
        training="results/data/training.parquet",
        refused="results/data/refused.parquet",
    log:
        "results/logs/training_set.log",
    benchmark:
        "results/benchmarks/training_set.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=digest("training_set"),
        options=config["training"],
        seed=config["seed"],
    message:
        "Choosing the training set"
    script:
        "../scripts/training_set.py"

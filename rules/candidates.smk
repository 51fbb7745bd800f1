# Candidates: templates with elements.


rule infill:
    """Every distinct assignment of all the elements to the sites of one shard of the templates, and what was refused."""
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
        mem_mb=2000,
        runtime=30,
    params:
        code=digest("infill"),
        options=block("infill", "shards"),
        shards=config["infill"]["shards"],
        chemistry=config["chemistry"],
    message:
        "Filling templates with {params.chemistry}, shard {wildcards.shard}"
    script:
        "../scripts/infill.py"

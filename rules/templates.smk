# Templates: drawn from the generator, checked, made distinct.


rule generate:
    """One shard of templates; refusals are counted by reason."""
    input:
        generator="results/model/generator.ckpt",
    output:
        templates="results/templates/{shard}.parquet",
        counts="results/templates/{shard}.json",
    log:
        "results/logs/generate/{shard}.log",
    benchmark:
        "results/benchmarks/generate/{shard}.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        code=digest("generate"),
        options=block("templates", "samples", "keep", "shards", "boldness", "spacegroups"),
        spacegroups=config["templates"]["spacegroups"],
        samples=config["templates"]["samples"],
        boldness=config["templates"]["boldness"],
        shards=config["templates"]["shards"],
        seed=config["seed"],
    message:
        "Generating templates, shard {wildcards.shard}"
    script:
        "../scripts/generate.py"


rule merge_templates:
    """All shards as one table of distinct templates, marked where the generator was trained on them."""
    input:
        shards=expand("results/templates/{shard}.parquet", shard=shards("templates")),
        counts=expand("results/templates/{shard}.json", shard=shards("templates")),
        generator="results/model/generator.ckpt",
    output:
        templates="results/templates.parquet",
        counts="results/template_counts.json",
    log:
        "results/logs/merge_templates.log",
    benchmark:
        "results/benchmarks/merge_templates.tsv"
    conda:
        "../envs/default.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=digest("merge_templates"),
        keep=config["templates"]["keep"],
        tolerance=config["templates"]["tolerance"],
    message:
        "Merging templates"
    script:
        "../scripts/merge_templates.py"

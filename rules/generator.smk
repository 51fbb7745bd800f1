# The generator: it learns templates; templates drawn from it, checked, made distinct.

# The checkpoint of the kind that comes with the package; each has a model card in docs/.
SHIPPED_GENERATOR = f"{workflow.basedir}/cgwgan_core/generator/{config['model']['kind']}/shipped.ckpt"


rule train:
    """Train the generator, or take a checkpoint as it is (model.max_steps: 0)."""
    input:
        training="results/data/training.parquet",
        init={"scratch": [], "pretrained": SHIPPED_GENERATOR}.get(config["model"]["init"], config["model"]["init"]),
    output:
        generator="results/model/generator.ckpt",
        metrics="results/model/training.csv",
    log:
        "results/logs/train.log",
    benchmark:
        "results/benchmarks/train.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(240),
    params:
        code=digest("train"),
        options=block("model"),
        seed=config["seed"],
    message:
        "Training the generator for {params.options[max_steps]} steps"
    script:
        "../scripts/train.py"


rule quality:
    """The generator's draws beside real templates, jittered copies and independent marginals."""
    input:
        generator="results/model/generator.ckpt",
    output:
        quality="results/quality.json",
    log:
        "results/logs/quality.log",
    benchmark:
        "results/benchmarks/quality.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        code=digest("quality"),
        samples=config["quality"]["samples"],
        seeds=config["quality"]["seeds"],
        pseudocount=config["templates"]["pseudocount"],
        options=block(
            "templates",
            "samples",
            "keep",
            "shards",
            "pseudocount",
            "spacegroups",
            "n_sites",
            "formulas",
            "energy_above_hull",
            "tolerance",
        ),
        seed=config["seed"],
    message:
        "Judging the generator by {params.samples} draws"
    script:
        "../scripts/quality.py"


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
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        code=digest("generate"),
        options=block("templates", "samples", "keep", "shards", "pseudocount", "spacegroups", "energy_above_hull"),
        energy_above_hull=config["templates"]["energy_above_hull"],
        spacegroups=config["templates"]["spacegroups"],
        formulas=config["infill"]["formulas"],
        samples=config["templates"]["samples"],
        pseudocount=config["templates"]["pseudocount"],
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
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=digest("merge_templates"),
        keep=config["templates"]["keep"],
        tolerance=config["templates"]["tolerance"],
    message:
        "Merging templates"
    script:
        "../scripts/merge_templates.py"

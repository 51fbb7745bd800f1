# The generator: a Wasserstein GAN with gradient penalty that learns templates.

# The checkpoint that comes with the package; docs/MODEL_CARD.md says what it is.
SHIPPED_GENERATOR = f"{workflow.basedir}/cgwgan_core/data/generator.ckpt"


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
        mem_mb=4000,
        runtime=240,
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
        mem_mb=4000,
        runtime=60,
    params:
        code=digest("quality"),
        samples=config["quality"]["samples"],
        seeds=config["quality"]["seeds"],
        boldness=config["templates"]["boldness"],
        options=block("templates", "samples", "keep", "shards", "boldness", "spacegroups", "n_sites", "tolerance"),
        seed=config["seed"],
    message:
        "Judging the generator by {params.samples} draws"
    script:
        "../scripts/quality.py"

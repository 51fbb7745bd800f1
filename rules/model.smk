# The generator: a Wasserstein GAN with gradient penalty that learns templates.


rule train:
    """Train the generator, or take a checkpoint as it is (model.max_steps: 0)."""
    input:
        training="results/data/training.parquet",
        init=[] if config["model"]["init"] == "scratch" else config["model"]["init"],
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

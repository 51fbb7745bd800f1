# DFT: inputs that are ready to submit.


rule dft_inputs:
    """Relaxation and phonon inputs of every survivor."""
    input:
        stable="results/stable.parquet",
    output:
        folder=directory("results/dft"),
        table="results/dft.parquet",
    log:
        "results/logs/dft_inputs.log",
    benchmark:
        "results/benchmarks/dft_inputs.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=digest("dft_inputs"),
        options=config["dft"],
    message:
        "Writing DFT inputs"
    script:
        "../scripts/dft_inputs.py"

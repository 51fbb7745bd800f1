# DFT: inputs that are ready to submit, and results read back.


rule dft_inputs:
    """Relaxation and phonon inputs of every survivor, in folders beside the table."""
    input:
        stable="results/stable.parquet",
    output:
        # The folders under results/dft/ are no declared output: Snakemake deletes these, and DFT's results lie in them.
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


rule dft_results:
    """Relaxations by DFT that are there when the workflow starts, beside the potential's values."""
    input:
        vaspruns=sorted(Path().glob("results/dft/*/relax/vasprun.xml")),
        zipped=sorted(Path().glob("results/dft/*/relax/vasprun.xml.gz")),
        prepared="results/dft.parquet",
        stable="results/stable.parquet",
    output:
        results="results/dft_results.parquet",
    log:
        "results/logs/dft_results.log",
    benchmark:
        "results/benchmarks/dft_results.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=digest("dft_results"),
    message:
        "Reading DFT results"
    script:
        "../scripts/dft_results.py"

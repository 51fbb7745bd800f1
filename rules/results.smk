# What the run found: stores, counts, report.


rule store:
    """What passes and is novel and distinct: table, ASE database, CIF and phonopy files, likeness in diffraction."""
    input:
        compared="results/compared.parquet",
        phonons=expand("results/phonons/{shard}.parquet", shard=shards("phonons")),
        second_phonons=second_phonons("results/second_phonons/{shard}.parquet"),
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
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        code=digest("store"),
        chemistry=config["chemistry"],
    message:
        "Storing the survivors"
    script:
        "../scripts/store.py"


rule report:
    """Best crystals, hull, all crystals, funnel, how far to trust it and what it cost, in one self-contained page."""
    input:
        structures="results/data/structures.parquet",
        refused="results/data/refused.parquet",
        asu="results/data/asu.parquet",
        training="results/data/training.parquet",
        training_curve="results/model/training.csv",
        quality="results/quality.json",
        templates="results/templates.parquet",
        template_counts="results/template_counts.json",
        known_phases="results/known_phases.parquet",
        candidates=expand("results/candidates/{shard}.parquet", shard=shards("infill")),
        candidate_counts=expand("results/candidates/{shard}.json", shard=shards("infill")),
        potential="results/potential.json",
        screening_potential=report_of("screening_potential"),
        second_potential=report_of("second_potential"),
        screened=expand("results/screened/{shard}.parquet", shard=shards("infill")),
        promoted=promoted("results/promoted/{shard}.parquet"),
        promotion_counts=promoted("results/promoted.json"),
        evaluated=promoted("results/evaluated/{shard}.parquet"),
        ranked="results/ranked.parquet",
        ranking_counts="results/ranking_counts.json",
        relaxed=expand("results/relaxed/{shard}.parquet", shard=shards("relax")),
        compared="results/compared.parquet",
        phonons=expand("results/phonons/{shard}.parquet", shard=shards("phonons")),
        second_phonons=second_phonons("results/second_phonons/{shard}.parquet"),
        stable="results/stable.parquet",
        stable_refused="results/stable_refused.parquet",
        cifs="results/cif",
        dft_crystals=by_dft("results/dft_crystals.parquet"),
        dft=by_dft("results/dft.parquet"),
        dft_next=by_dft("results/dft_next.parquet"),
        dft_counts=by_dft("results/dft.json"),
    output:
        report=report("results/report.html", category="Run"),
        counts="results/funnel.json",
        picture="results/funnel.svg",
    log:
        "results/logs/report.log",
    benchmark:
        "results/benchmarks/report.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=digest("report"),
        config=config,
        rules=every_rule,
    message:
        "Writing the report"
    script:
        "../scripts/report.py"


rule convergence:
    """How many relaxations converge, generated crystals beside random ones: made only when it is asked for."""
    input:
        relaxed=expand("results/convergence/{shard}.parquet", shard=shards("convergence")),
    output:
        table="results/convergence.parquet",
        figure="results/convergence.svg",
    log:
        "results/logs/convergence.log",
    benchmark:
        "results/benchmarks/convergence.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        code=digest("convergence"),
    message:
        "Counting the relaxations that converge"
    script:
        "../scripts/convergence.py"


rule showcase:
    """What the run found, small enough to keep: made only when it is asked for."""
    input:
        report="results/report.html",
        counts="results/funnel.json",
        stable="results/stable.parquet",
        cifs="results/cif",
        phonons=expand("results/phonons/{shard}.parquet", shard=shards("phonons")),
        # the last of the run, so that its cost is known
        last="results/dft_results.parquet",
    output:
        folder=directory("results/showcase"),
    log:
        "results/logs/showcase.log",
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        code=digest("showcase"),
        benchmarks="results/benchmarks",
        most=100,
    message:
        "Making the showcase"
    script:
        "../scripts/showcase.py"

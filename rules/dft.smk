# DFT: verdicts on the best crystals by an engine that runs here, and VASP inputs for other machines.


rule dft_crystals:
    """Choose the candidates that DFT sees, the known phases that they compete with, and the elements."""
    input:
        stable="results/stable.parquet",
        known_phases="results/known_phases.parquet",
        structures="results/data/structures.parquet",
    output:
        crystals="results/dft_crystals.parquet",
    log:
        "results/logs/dft_crystals.log",
    benchmark:
        "results/benchmarks/dft_crystals.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=digest("dft_crystals"),
        chemistry=config["chemistry"],
        options=part("dft", "top", "max_atoms", "also", "competing", "max_atoms_known"),
    message:
        "Choosing crystals for DFT"
    script:
        "../scripts/dft_crystals.py"


rule dft_statics:
    """Energies by DFT of one shard of the crystals, each from the starts of its spins."""
    input:
        crystals="results/dft_crystals.parquet",
        arrived=arrived(),
    output:
        statics="results/dft_statics/{shard}.parquet",
    log:
        "results/logs/dft_statics/{shard}.log",
    benchmark:
        "results/benchmarks/dft_statics/{shard}.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(1440),
    params:
        code=digest("dft_statics"),
        store=STORE,
        stamp=stamp(config["dft"]["pseudopotentials"]),
        shards=config["dft"]["shards"],
    message:
        "Energies by DFT, shard {wildcards.shard}"
    script:
        "../scripts/dft_statics.py"


rule dft_hull:
    """Formation energies and distances to the hull of one engine."""
    input:
        crystals="results/dft_crystals.parquet",
        statics=expand("results/dft_statics/{shard}.parquet", shard=shards("dft")),
    output:
        hull="results/dft_hull.parquet",
    log:
        "results/logs/dft_hull.log",
    benchmark:
        "results/benchmarks/dft_hull.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=digest("dft_hull"),
        hubbard=HUBBARD,
    message:
        "Placing crystals on the hull by DFT"
    script:
        "../scripts/dft_hull.py"


rule dft_relax:
    """Relax one shard of the best candidates and of the phases that they fall apart into."""
    input:
        crystals="results/dft_crystals.parquet",
        hull="results/dft_hull.parquet",
        potential="results/potential.json",
        arrived=arrived(),
    output:
        relaxed="results/dft_relaxed/{shard}.parquet",
    log:
        "results/logs/dft_relax/{shard}.log",
    benchmark:
        "results/benchmarks/dft_relax/{shard}.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(1440),
    params:
        code=digest("dft_relax"),
        store=STORE,
        stamp=stamp(config["dft"]["pseudopotentials"]),
        options=part("dft", "relax", "gain", "max_steps"),
        potential=options_of("potential"),
        shards=config["dft"]["shards"],
    message:
        "Relaxation by DFT, shard {wildcards.shard}"
    script:
        "../scripts/dft_relax.py"


rule dft_phonons:
    """Phonons by DFT of one shard of the best relaxed candidates."""
    input:
        crystals="results/dft_crystals.parquet",
        statics=expand("results/dft_statics/{shard}.parquet", shard=shards("dft")),
        relaxed=expand("results/dft_relaxed/{shard}.parquet", shard=shards("dft")),
        arrived=arrived(),
    output:
        phonons="results/dft_phonons/{shard}.parquet",
    log:
        "results/logs/dft_phonons/{shard}.log",
    benchmark:
        "results/benchmarks/dft_phonons/{shard}.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(1440),
    params:
        code=digest("dft_phonons"),
        hubbard=HUBBARD,
        store=STORE,
        stamp=stamp(config["dft"]["pseudopotentials"]),
        options=part("phonons", "stable", "borderline", "max_atoms"),
        supercell=config["dft"]["phonon_supercell"],
        top=config["dft"]["phonons"],
        most_displacements=config["dft"]["max_displacements"],
        elastic=config["dft"]["elastic"],
        shards=config["dft"]["shards"],
    message:
        "Phonons by DFT, shard {wildcards.shard}"
    script:
        "../scripts/dft_phonons.py"


rule dft:
    """What DFT says of each crystal in the end, and whom it should see next."""
    input:
        stable="results/stable.parquet",
        crystals="results/dft_crystals.parquet",
        statics=expand("results/dft_statics/{shard}.parquet", shard=shards("dft")),
        relaxed=expand("results/dft_relaxed/{shard}.parquet", shard=shards("dft")),
        phonons=expand("results/dft_phonons/{shard}.parquet", shard=shards("dft")),
        structures="results/data/structures.parquet",
        known_phases="results/known_phases.parquet",
    output:
        table="results/dft.parquet",
        coming="results/dft_next.parquet",
        counts="results/dft.json",
    log:
        "results/logs/dft.log",
    benchmark:
        "results/benchmarks/dft.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=digest("dft"),
        chemistry=config["chemistry"],
        hubbard=HUBBARD,
        top=config["dft"]["top"],
        max_atoms=config["dft"]["max_atoms"],
    message:
        "Writing what DFT says"
    script:
        "../scripts/dft.py"


rule dft_electrons:
    """Charges, bands and densities of states of one crystal by GPAW: made only when it is asked for by name."""
    input:
        crystals="results/dft_crystals.parquet",
        # where there are such when the workflow starts, the geometry is theirs
        relaxed=sorted(Path().glob("results/dft_relaxed/*.parquet")),
    output:
        table="results/dft_electrons/{crystal}.parquet",
        short="results/dft_electrons/{crystal}.json",
        figure="results/dft_electrons/{crystal}.svg",
    log:
        "results/logs/dft_electrons/{crystal}.log",
    benchmark:
        "results/benchmarks/dft_electrons/{crystal}.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(8000),
        runtime=growing(1440),
    params:
        code=digest("dft_electrons"),
        store=STORE,
        stamp=stamp(config["dft"]["pseudopotentials"]),
    message:
        "Electrons of {wildcards.crystal} by DFT"
    script:
        "../scripts/dft_electrons.py"


rule dft_inputs:
    """VASP inputs of relaxation and phonons of every survivor, in folders beside the table."""
    input:
        stable="results/stable.parquet",
        job=config["vasp"]["job"] or [],
    output:
        # The folders under results/dft/ are no declared output: Snakemake deletes these, and DFT's results lie in them.
        table="results/dft_inputs.parquet",
    log:
        "results/logs/dft_inputs.log",
    benchmark:
        "results/benchmarks/dft_inputs.tsv"
    conda:
        "../envs/default.yaml"
    threads: 1
    resources:
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=digest("dft_inputs"),
        options=config["vasp"],
    message:
        "Writing VASP inputs"
    script:
        "../scripts/dft_inputs.py"


rule dft_results:
    """Relaxations by VASP that are there when the workflow starts, beside the potential's values."""
    input:
        vaspruns=sorted(Path().glob("results/dft/*/relax/vasprun.xml")),
        zipped=sorted(Path().glob("results/dft/*/relax/vasprun.xml.gz")),
        prepared="results/dft_inputs.parquet",
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
        mem_mb=growing(1000),
        runtime=growing(30),
    params:
        code=digest("dft_results"),
    message:
        "Reading results of VASP"
    script:
        "../scripts/dft_results.py"

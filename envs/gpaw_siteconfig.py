"""How GPAW is compiled by `make dft-environment`: serial, since shards of a run are what runs in parallel."""

mpi = False
compiler = "g++"
fftw = True
scalapack = False
libraries = ["xc", "openblas", "fftw3"]
extra_compile_args = ["-O3", "-march=native", "-fopenmp-simd", "-fPIC"]

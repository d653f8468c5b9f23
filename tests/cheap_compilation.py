"""XLA's flags for processes of tests that compile much and compute little: several times cheaper programs to make.

Rounding may differ from that of the usual programs, so nothing that is measured to the last digits runs under them.
"""

CHEAP_COMPILATION = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)

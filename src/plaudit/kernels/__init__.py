"""What makes the CPU (and CUDA) fast: GEMM, attention over many lengths, fused layers, log-probs, decoding."""

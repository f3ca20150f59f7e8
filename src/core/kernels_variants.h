// SPDX-License-Identifier: LGPL-2.1-or-later
//
// kernels_variants.h: the tables of kernels.h, each in a file of its own. Constant data; only
// kernels.cpp, which asks the processor first, may hand out the ones of the instruction sets.

#pragma once

#include "core/kernels.h"

namespace ringmix::core {

extern const Kernels kernels_plain;
extern const Kernels kernels_sse2;
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
extern const Kernels kernels_neon;

// For tests and benchmarks: what kernels() gives from now on, to all threads.
void use_kernels(const Kernels& variant) noexcept;

} // namespace ringmix::core

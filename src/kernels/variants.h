// SPDX-License-Identifier: LGPL-2.1-or-later
//
// variants.h: the tables of kernels.h, each in a file of its own. Constant data; only
// kernels.cpp, which asks the processor first, may hand out the ones of the instruction sets.

#pragma once

#include "kernels/kernels.h"

namespace ringmix::kernels {

extern const Table plain;
extern const Table sse2;
extern const Table avx2;
extern const Table neon;

// For tests and benchmarks: what chosen() gives from now on, to all threads.
void use(const Table& variant) noexcept;

} // namespace ringmix::kernels

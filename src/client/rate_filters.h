// SPDX-License-Identifier: LGPL-2.1-or-later
//
// rate_filters.h: the filters that a process has made, shared by all its streams.

#pragma once

#include "core/rate_filter.h"

#include <memory>

namespace ringmix::client {

// Immutable: any thread may read it.
class RateFilter {
public:
    RateFilter(std::uint32_t client_rate, std::uint32_t device_rate);

    const core::FilterShape& shape() const noexcept { return shape_; }
    kernels::FilterRows rows() const noexcept { return core::filter_rows(shape_, numbers_.get()); }

private:
    struct Free {
        void operator()(float* numbers) const noexcept;
    };
    core::FilterShape shape_;
    std::unique_ptr<float[], Free> numbers_; // at the beginning of a cache line
};

// The filter of this pair of rates; made if nobody has it. Set-up paths: up to some ms, a lock, memory; throws
// std::bad_alloc. Any thread. A few that nobody uses are kept, for a program that opens anew for each piece of music.
std::shared_ptr<const RateFilter> rate_filter(std::uint32_t client_rate, std::uint32_t device_rate);

} // namespace ringmix::client

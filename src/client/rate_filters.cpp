// SPDX-License-Identifier: LGPL-2.1-or-later

#include "client/rate_filters.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace ringmix::client {

namespace {

constexpr std::size_t line_bytes = 64;
constexpr std::ptrdiff_t most_unused = 4;

struct Made {
    std::uint32_t client_rate;
    std::uint32_t device_rate;
    std::shared_ptr<const RateFilter> filter;
};

struct Cache {
    std::mutex lock;
    std::vector<Made> made; // the one asked for last at the end
};

// Never destroyed: a program may end while another of its threads opens or closes.
Cache& cache()
{
    static Cache& the_cache = *new Cache;
    return the_cache;
}

bool unused(const Made& made) noexcept { return made.filter.use_count() == 1; }

} // namespace

void RateFilter::Free::operator()(float* numbers) const noexcept { std::free(numbers); }

RateFilter::RateFilter(std::uint32_t client_rate, std::uint32_t device_rate)
    : shape_(core::filter_shape(client_rate, device_rate))
{
    static_assert(kernels::tap_multiple * sizeof(float) % line_bytes == 0); // so the size is a multiple as well
    numbers_.reset(static_cast<float*>(std::aligned_alloc(line_bytes, shape_.numbers() * sizeof(float))));
    if (numbers_ == nullptr)
        throw std::bad_alloc();
    core::design_filter(shape_, {numbers_.get(), shape_.numbers()});
}

std::shared_ptr<const RateFilter> rate_filter(std::uint32_t client_rate, std::uint32_t device_rate)
{
    Cache& all = cache();
    const std::lock_guard guard(all.lock);
    const auto found = std::find_if(all.made.begin(), all.made.end(), [&](const Made& m) {
        return m.client_rate == client_rate && m.device_rate == device_rate;
    });
    if (found != all.made.end()) {
        std::rotate(found, found + 1, all.made.end());
        return all.made.back().filter;
    }
    if (std::count_if(all.made.begin(), all.made.end(), unused) >= most_unused)
        all.made.erase(std::find_if(all.made.begin(), all.made.end(), unused));
    all.made.push_back({client_rate, device_rate, std::make_shared<const RateFilter>(client_rate, device_rate)});
    return all.made.back().filter;
}

} // namespace ringmix::client

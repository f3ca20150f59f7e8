// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tests/bench/dmix.h"

#include <sys/ipc.h>
#include <sys/sem.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>

namespace ringmix::bench {

namespace {

template <class Number> Number* stepped(Number* at, std::size_t bytes) noexcept
{
    return reinterpret_cast<Number*>(reinterpret_cast<std::uintptr_t>(at) + bytes);
}

void step(Areas& a) noexcept
{
    a.device = stepped(a.device, a.device_step);
    a.sums = stepped(a.sums, a.sum_step);
    a.samples = stepped(a.samples, a.sample_step);
}

std::int16_t saturated(std::int32_t sum) noexcept
{
    return static_cast<std::int16_t>(std::clamp(sum, -0x8000, 0x7fff));
}

void operate(int id, int change) noexcept
{
    sembuf operation{0, static_cast<short>(change), SEM_UNDO};
    while (semop(id, &operation, 1) != 0 && errno == EINTR) {
    }
}

} // namespace

void mix_plain(const Areas& areas, std::size_t samples) noexcept
{
    Areas a = areas;
    for (; samples > 0; --samples, step(a)) {
        const std::int32_t sample = *a.samples;
        if (*a.device == 0) {
            *a.sums = sample;
            *a.device = static_cast<std::int16_t>(sample);
        } else {
            *a.sums += sample;
            *a.device = saturated(*a.sums);
        }
    }
}

void mix_lock_free(const Areas& areas, std::size_t samples) noexcept
{
    Areas a = areas;
    for (; samples > 0; --samples, step(a)) {
        std::atomic_ref<std::int16_t> device(*a.device);
        std::atomic_ref<std::int32_t> sums(*a.sums);
        std::int32_t sample = *a.samples;
        std::int16_t fresh = 0;
        if (device.compare_exchange_strong(fresh, 1)) // whoever marks it takes the old sum away
            sample -= sums.load(std::memory_order_relaxed);
        sums.fetch_add(sample);
        std::int32_t sum;
        do {
            sum = sums.load(std::memory_order_relaxed);
            device.store(saturated(sum), std::memory_order_relaxed);
        } while (sums.load(std::memory_order_relaxed) != sum);
    }
}

Semaphore::Semaphore() : id_(semget(IPC_PRIVATE, 1, 0600))
{
    if (id_ < 0)
        throw std::system_error(errno, std::generic_category(), "semget");
    operate(id_, 1);
}

Semaphore::~Semaphore() { semctl(id_, 0, IPC_RMID); }

void Semaphore::down() const noexcept { operate(id_, -1); }

void Semaphore::up() const noexcept { operate(id_, 1); }

} // namespace ringmix::bench

// SPDX-License-Identifier: LGPL-2.1-or-later
//
// dmix.h: what we are compared with: how dmix mixes, written from its description. It keeps a 32-bit
// sum beside each sample of the device's ring; a sample of 0 in the ring marks a fresh position.

#pragma once

#include <cstddef>
#include <cstdint>

namespace ringmix::bench {

// dmix walks through areas of any layout: steps in bytes.
struct Areas {
    std::int16_t* device;
    std::int32_t* sums;
    const std::int16_t* samples;
    std::size_t device_step;
    std::size_t sum_step;
    std::size_t sample_step;
};

// One after the other, as dmix does by default (under its semaphore).
void mix_plain(const Areas& areas, std::size_t samples) noexcept;

// Its lock-free x86 routine: a compare-and-swap on the device's sample and an atomic addition to the
// sum for each sample, and again if the sum has moved until the sample is stored.
void mix_lock_free(const Areas& areas, std::size_t samples) noexcept;

// The least that mixing one more client can be, for one format, one layout and no care for others:
// add to the sum, saturate, store. Needs AVX2.
void mix_floor(const Areas& areas, std::size_t samples) noexcept;
bool can_mix_floor() noexcept;

// The least that it takes to look at lanes of S16 samples: load them. Needs AVX2.
void read_lanes(const std::byte* const* lanes, std::size_t count, std::size_t samples) noexcept;

// The System V semaphore that all clients of a dmix wait at; removed at the end.
class Semaphore {
public:
    Semaphore();
    Semaphore(const Semaphore&) = delete;
    Semaphore& operator=(const Semaphore&) = delete;
    ~Semaphore();
    void down() const noexcept;
    void up() const noexcept;

private:
    int id_;
};

} // namespace ringmix::bench

// SPDX-License-Identifier: LGPL-2.1-or-later
//
// steps.h: the shared words of ringmix/abi.h as the simulator has them: each access is a step, between any two
// of which its scheduler may let somebody else run. Included before everything else (meson.build) in the
// simulator's build of the product, where RINGMIX_SIMULATED is defined, and in no other.

#pragma once

#include <atomic>
#include <cstdint>

namespace ringmix::sim {

// Steps until the scheduler is asked next. Only one fibre runs at a time.
extern std::int64_t steps_left;
void pause_here() noexcept;

inline void step() noexcept
{
    if (--steps_left <= 0)
        pause_here();
}

template <class T> struct SteppingWord : std::atomic<T> {
    using Base = std::atomic<T>;
    using Base::Base;
    static constexpr auto seq_cst = std::memory_order_seq_cst;

    T operator=(T value) noexcept
    {
        store(value);
        return value;
    }
    operator T() const noexcept { return load(); }
    T load(std::memory_order order = seq_cst) const noexcept
    {
        step();
        return Base::load(order);
    }
    void store(T value, std::memory_order order = seq_cst) noexcept
    {
        step();
        Base::store(value, order);
        step();
    }
    T exchange(T value, std::memory_order order = seq_cst) noexcept
    {
        return stepped(Base::exchange(value, (step(), order)));
    }
    T fetch_add(T value, std::memory_order order = seq_cst) noexcept
    {
        return stepped(Base::fetch_add(value, (step(), order)));
    }
    T fetch_or(T value, std::memory_order order = seq_cst) noexcept
    {
        return stepped(Base::fetch_or(value, (step(), order)));
    }
    T fetch_and(T value, std::memory_order order = seq_cst) noexcept
    {
        return stepped(Base::fetch_and(value, (step(), order)));
    }
    bool compare_exchange_strong(T& expected, T value, std::memory_order success = seq_cst,
                                 std::memory_order failure = seq_cst) noexcept
    {
        step();
        return stepped(Base::compare_exchange_strong(expected, value, success, failure));
    }
    bool compare_exchange_weak(T& expected, T value, std::memory_order success = seq_cst,
                               std::memory_order failure = seq_cst) noexcept
    {
        return compare_exchange_strong(expected, value, success, failure);
    }
    bool compare_exchange_strong(T& expected, T value, std::memory_order order) noexcept
    {
        step();
        return stepped(Base::compare_exchange_strong(expected, value, order));
    }
    // What is there, without a step: for those who only watch.
    T peek() const noexcept { return Base::load(std::memory_order_relaxed); }

private:
    template <class R> static R stepped(R result) noexcept
    {
        step();
        return result;
    }
};

} // namespace ringmix::sim

// SPDX-License-Identifier: LGPL-2.1-or-later
//
// test_hooks.h: points of the posting protocol at which a test can hold a poster up. They are there
// only where RINGMIX_TEST_HOOKS is defined (tests/stress, tests/sim); elsewhere they are nothing at all.

#pragma once

#ifdef RINGMIX_TEST_HOOKS

#include <atomic>
#include <cstdint>

// What a test sets (tests/stress by dlsym): called with the point and the frames of the batch, or a part of it.
using RingmixTestHook = void(std::uint32_t point, std::uint64_t from, std::uint32_t frames);
extern "C" __attribute__((visibility("default"))) std::atomic<RingmixTestHook*> ringmix_test_hook;

namespace ringmix::core {

enum TestPoint : std::uint32_t {
    test_posting = 1,  // the change is published; no version has moved yet
    test_gathered = 2, // what is to be summed is known; nothing of it is stored yet
    test_stored = 3,   // stored; the versions are not looked at yet
    test_settled = 4,  // done; `posting` still says something else
};

inline void test_hook(std::uint32_t point, std::uint64_t from, std::uint32_t frames) noexcept
{
    if (RingmixTestHook* hook = ringmix_test_hook.load(std::memory_order_acquire); hook != nullptr)
        hook(point, from, frames);
}

} // namespace ringmix::core

#define RINGMIX_TEST_HOOK(point, from, frames) ::ringmix::core::test_hook(::ringmix::core::point, from, frames)

#else

#define RINGMIX_TEST_HOOK(point, from, frames) static_cast<void>(0)

#endif

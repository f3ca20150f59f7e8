// SPDX-License-Identifier: LGPL-2.1-or-later

#include "weapons.h"

#define RINGMIX_TEST_HOOKS
#include "core/test_hooks.h"

#include <array>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <dlfcn.h>
#include <string>
#include <unistd.h>

namespace ringmix::stress {

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr std::int64_t slow_ns = 700'000; // less than the safety margin of 1 ms: nobody can notice before

Journal* journal;
Clock clock_of_device;
Arms arms_of_player;
std::mt19937_64 dice;
std::int64_t next_in = 0;           // passages until the next action
std::uint32_t next_point = 0;       // at which it happens
std::uint32_t next_action = 0;      // and what
bool stop_when_stored = false;      // after a delay between gather and store: stands with an old sum in the ring
bool storing = false;               // between the first gather of a round and its end
std::int64_t previous_store_ns = 0; // of the batch in hand: when its last store began (0: none),
std::int64_t stored_ns = 0;         // and when it was done

std::uint64_t up_to(std::uint64_t most) { return dice() % (most + 1); }

void choose_next()
{
    next_in = static_cast<std::int64_t>(std::exp2(4.0 + static_cast<double>(up_to(1000)) / 100.0)); // 16 to 16384
    next_point = std::array<std::uint32_t, 6>{core::test_posting,  core::test_gathered, core::test_gathered,
                                              core::test_gathered, core::test_stored,   core::test_settled}[up_to(5)];
    const std::uint64_t chance = up_to(99);
    next_action = chance < 8 && arms_of_player.kills    ? action_kill
                  : chance < 45 && arms_of_player.stops ? action_stop
                                                        : action_delay;
}

void act(std::uint32_t point)
{
    if (--next_in > 0 && !(stop_when_stored && point == core::test_stored))
        return;
    if (stop_when_stored && point == core::test_stored)
        next_action = action_stop;
    else if (point != next_point)
        return;
    const std::uint32_t action = next_action;
    stop_when_stored = false;
    choose_next();
    Record& record = journal->begin(kind_weapon, point, action, 0);
    record.done.store(1, std::memory_order_release);
    if (action == action_kill)
        ::kill(::getpid(), SIGKILL);
    if (action == action_stop)
        ::kill(::getpid(), SIGSTOP);
    if (action == action_delay) {
        const timespec pause{0, static_cast<long>(20'000 + up_to(1'500'000))};
        ::nanosleep(&pause, nullptr);
        stop_when_stored = point == core::test_gathered && arms_of_player.stops && up_to(2) == 0;
    }
}

// Between the store that began at `begin` and this moment the ring may have held an old sum.
void note_slow(std::uint64_t from, std::uint32_t frames, std::int64_t begin, std::int64_t stored)
{
    const std::int64_t now = now_ns();
    const std::int64_t call = journal->in_hand().call_ns.load(relaxed);
    if (now - call < slow_ns || clock_of_device.frame(now) + 64 < static_cast<std::int64_t>(from))
        return;
    Record& record = journal->begin(kind_batch, static_cast<std::int64_t>(from), frames, 0);
    record.begin_ns = begin;
    record.horizon_after = stored;
    record.end_ns = now;
    record.done.store(1, std::memory_order_release);
}

void hook(std::uint32_t point, std::uint64_t from, std::uint32_t frames)
{
    const std::int64_t entered = now_ns();
    InHand& hand = journal->in_hand();
    if (point == core::test_posting) {
        hand.from.store(from, relaxed);
        hand.store_ns.store(0, relaxed);
        hand.frames.store(frames, relaxed);
        storing = false;
        previous_store_ns = 0;
    }
    hand.point.store(point, relaxed);
    act(point);
    if (point == core::test_gathered && !storing) {
        storing = true;
        hand.store_ns.store(now_ns(), relaxed);
    } else if (point == core::test_stored) {
        if (previous_store_ns != 0)
            note_slow(from, frames, previous_store_ns, stored_ns);
        storing = false;
        previous_store_ns = hand.store_ns.load(relaxed);
        stored_ns = entered;
    } else if (point == core::test_settled) {
        note_slow(from, frames, previous_store_ns, stored_ns);
        hand.frames.store(0, relaxed);
    }
}

} // namespace

void prepare_weapons(Journal& into, const Clock& clock, const Arms& arms, std::uint64_t seed)
{
    journal = &into;
    clock_of_device = clock;
    arms_of_player = arms;
    dice.seed(seed);
    choose_next();
}

void load_weapons()
{
    const char* plugin = std::getenv("RINGMIX_PLUGIN"); // no name would be this program itself
    void* module = plugin == nullptr ? nullptr : ::dlopen(plugin, RTLD_NOW | RTLD_NOLOAD);
    auto* place = // kept: libasound unloads it with the last PCM
        module == nullptr ? nullptr : static_cast<std::atomic<RingmixTestHook*>*>(::dlsym(module, "ringmix_test_hook"));
    if (place != nullptr)
        place->store(hook);
}

void note_call(std::int64_t begin_ns) noexcept { journal->in_hand().call_ns.store(begin_ns, relaxed); }

} // namespace ringmix::stress

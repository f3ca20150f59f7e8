// SPDX-License-Identifier: LGPL-2.1-or-later
//
// player.h: programs of random habits.

#pragma once

#include "tests/sim/pcm.h"

namespace ringmix::sim {

struct PlayerHabits {
    std::uint32_t max_buffer = 4096; // frames
    unsigned max_channels = 2;
    bool odd = true;          // FLOAT beyond full scale
    bool eager = false;       // many short calls
    bool other_rates = false; // a third play at others than the device's
};

// One program: opens, plays in many ways, closes, again and again. The body of a fibre.
class Player {
public:
    Player(unsigned index, std::uint64_t seed, const PlayerHabits& habits);
    void run();

private:
    PcmWishes choose();
    unsigned choose_rate();
    bool session();
    bool stream();
    bool act();
    bool write_some();
    void wait_or_sleep();
    void rewind_some();
    void pause_a_while();
    bool recover();

    unsigned index_;
    Dice dice_;
    PlayerHabits habits_;
    Pcm pcm_;
    unsigned opened_ = 0;
    bool only_device_rate_ = false; // this PCM offers no other
};

// Changes the gains of players at random. The body of a fibre.
void mix_gains(std::uint64_t seed, std::int64_t mean_ns);

} // namespace ringmix::sim

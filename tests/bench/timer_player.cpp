// SPDX-License-Identifier: LGPL-2.1-or-later
//
// timer_player RATE FRAMES: wakes for every so many frames, by a timer of its own, copies as many (S16 stereo), and
// does nothing else: the least that a program which plays can cost. Until it is killed.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <poll.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <vector>

int main(int argc, char** argv)
{
    const long rate = argc == 3 ? std::atol(argv[1]) : 0, frames = argc == 3 ? std::atol(argv[2]) : 0;
    const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (rate <= 0 || frames <= 0 || timer < 0) {
        std::fprintf(stderr, "usage: timer_player RATE FRAMES\n");
        return 2;
    }
    const long ns = static_cast<long>(frames * 1'000'000'000LL / rate);
    const itimerspec each{{ns / 1'000'000'000, ns % 1'000'000'000}, {0, 1}};
    timerfd_settime(timer, 0, &each, nullptr);
    const std::size_t bytes = static_cast<std::size_t>(frames) * 4;
    std::vector<unsigned char> from(bytes, 1), to(bytes);
    for (;;) {
        pollfd ready{timer, POLLIN, 0};
        std::uint64_t times = 0;
        if (poll(&ready, 1, -1) < 0 || read(timer, &times, sizeof times) < 0)
            return 1;
        std::memcpy(to.data(), from.data(), bytes);
        asm volatile("" : : "r"(to.data()) : "memory");
    }
}
